//! How many files this process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Takes as many as we are allowed to: the soft limit is low for the sake of programs that use select(2), and we do not.
pub fn raise() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Who is refused goes on with what it has; the log says what that is too little for.
        _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// How many there may be.
#[must_use]
pub fn limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}
