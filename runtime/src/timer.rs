//! Waiting with an end to it.
//!
//! To set a timer and to take it back locks what all tasks share, and a connection waits some ten times for each message. So it has one
//! timer for all its waits, which is moved only where it would ring too late.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Where a timer stands before its first use; longer than any wait.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Sleeps for so long; for ever without a time.
pub async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// A timer for many waits, one after the other.
pub fn timer() -> Sleep {
    tokio::time::sleep(FAR)
}

/// Sleeps for so long with a timer that was used before; for ever without a time.
pub async fn sleep_by(mut timer: Pin<&mut Sleep>, duration: Option<Duration>) {
    let Some(end) = duration.and_then(|duration| Instant::now().checked_add(duration)) else {
        return std::future::pending().await;
    };
    loop {
        // It may ring for an earlier wait first, which costs less than to move it each time.
        if end < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(end);
        }
        timer.as_mut().await;
        if Instant::now() >= end {
            return;
        }
    }
}

/// What comes of it in this time. What is there at once needs no timer.
pub async fn in_time<T>(patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(result) => Some(result),
        Poll::Pending => tokio::time::timeout(patience, future).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_timer_rings_when_each_wait_is_over_whatever_it_was_set_to_before() {
        let mut timer = pin!(timer());
        let start = Instant::now();
        for (wait, passed) in [(300, 300), (2, 302), (300, 602), (0, 602), (1, 603)] {
            sleep_by(timer.as_mut(), Some(SECOND * wait)).await;
            // Ticks are of a millisecond.
            assert_eq!(start.elapsed().as_secs(), passed, "a wait of {wait} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_was_given_up_does_not_end_the_next() {
        let mut timer = pin!(timer());
        assert_eq!(in_time(SECOND, sleep_by(timer.as_mut(), Some(3 * SECOND))).await, None);
        let start = Instant::now();
        sleep_by(timer.as_mut(), Some(60 * SECOND)).await;
        assert_eq!(start.elapsed().as_secs(), 60);
        assert_eq!(in_time(SECOND * 1000, sleep_by(timer.as_mut(), None)).await, None, "no time, no end");
    }
}
