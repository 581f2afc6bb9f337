//! What a connection keeps of the message that it receives. The driver counts it with the contents that it stages: a client that
//! sends headers and never ends them must not fill memory either.

use super::Inbound;

impl Inbound {
    /// Octets of memory that it keeps of the message that comes: its header. What the driver can not spare it says by
    /// [`super::Input::Crowded`].
    #[must_use]
    pub const fn held(&self) -> u64 {
        self.cleanup.held()
    }
}
