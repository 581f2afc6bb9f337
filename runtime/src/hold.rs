//! Work that the end of the daemon waits for, besides sessions and deliveries.

use tokio::sync::mpsc;

/// While one of these is there, the daemon does not end. Whoever drops it, by an end or by a panic, lets go.
#[derive(Debug, Clone)]
pub struct Hold {
    _gone: mpsc::Sender<()>,
}

/// Who is held back, and by whom.
#[derive(Debug)]
pub struct Holds {
    given: Option<Hold>,
    released: mpsc::Receiver<()>,
}

impl Default for Holds {
    fn default() -> Self {
        let (sender, released) = mpsc::channel(1);
        Self { given: Some(Hold { _gone: sender }), released }
    }
}

impl Holds {
    /// One more; `None` when the end no longer waits for anybody new.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        self.given.clone()
    }

    /// Gives no more, and waits until nobody has one.
    pub async fn released(&mut self) {
        self.given = None;
        // Nothing is ever sent: this is the end of the last one.
        _ = self.released.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn an_end_waits_for_the_last_one_and_for_nobody_who_comes_later() {
        let mut holds = Holds::default();
        let held = [holds.hold(), holds.hold()];
        for one in held {
            let waited = tokio::time::timeout(Duration::from_millis(5), holds.released()).await;
            assert!(waited.is_err() && holds.hold().is_none());
            drop(one);
        }
        holds.released().await;
    }

    #[tokio::test]
    async fn who_panics_lets_go() {
        let mut holds = Holds::default();
        let hold = holds.hold();
        let task = tokio::spawn(async move {
            let _hold = hold;
            panic!("a bug");
        });
        holds.released().await;
        assert!(task.await.is_err());
    }
}
