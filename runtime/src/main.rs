//! The binary: arguments in, exit status out.

/// Messages are allocated by one thread and freed by another all day; an allocator whose threads share locks for that
/// would spend a tenth of a relayed message on it (docs/PERFORMANCE.md).
#[cfg(not(madsim))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    std::process::ExitCode::from(postrider::cli::main(&arguments))
}

/// Under madsim there are only tests.
#[cfg(madsim)]
fn main() {}
