//! The binary: arguments in, exit status out.

/// What a message costs must not follow from what waits beside it: docs/decisions/0045-jemalloc.md.
#[cfg(all(feature = "jemalloc", not(madsim)))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    std::process::ExitCode::from(postrider::cli::main(&arguments))
}

/// Under madsim there are only tests.
#[cfg(madsim)]
fn main() {}
