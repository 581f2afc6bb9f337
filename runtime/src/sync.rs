//! Locks, conditions, atomics and threads of what several threads share: std's, or shuttle's, which tries out the orders in which they
//! might run. The feature `shuttle` is for a build of the tests alone (docs/VERIFICATION.md); production never sees it.

#[cfg(feature = "shuttle")]
pub use shuttle::{sync::*, thread};
#[cfg(not(feature = "shuttle"))]
pub use std::{sync::*, thread};

use std::time::Duration;

/// Waits while a condition holds, and no longer than so long.
#[cfg(not(feature = "shuttle"))]
pub fn wait_while_for<'a, T>(
    condvar: &Condvar,
    _: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    most: Duration,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    condvar.wait_timeout_while(guard, most, condition).unwrap_or_else(PoisonError::into_inner).0
}

/// The same where no time passes: it is over at some later moment, and the scheduler says which.
#[cfg(feature = "shuttle")]
pub fn wait_while_for<'a, T>(
    _: &Condvar,
    mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    _: Duration,
    mut condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    /// How often others may have their turn before the time is over.
    const TURNS: usize = 8;
    let mut guard = guard;
    for _ in 0..TURNS {
        if !condition(&mut guard) {
            break;
        }
        drop(guard);
        thread::yield_now();
        guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    }
    guard
}
