//! What is exchanged as a whole while others use it: the configuration of the moment.

use crate::sync::{Arc, PoisonError, RwLock};

/// The value of the moment. Who has taken it keeps it, whatever comes after.
#[derive(Debug)]
pub struct Current<T> {
    value: RwLock<Arc<T>>,
}

impl<T> Current<T> {
    /// Begins with this one.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self { value: RwLock::new(Arc::new(value)) }
    }

    /// The value of the moment.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another one from now on; what it was before.
    pub fn replace(&self, value: Arc<T>) -> Arc<T> {
        std::mem::replace(&mut *self.value.write().unwrap_or_else(PoisonError::into_inner), value)
    }
}
