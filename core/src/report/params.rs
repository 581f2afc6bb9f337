//! The parameters of bounce(8), typed, with Postfix's defaults.

use crate::params::Settings;
use crate::time::Duration;
use serde::{Deserialize, Serialize};

/// The parameters of reports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Params {
    /// `Reporting-MTA`, and the domain of `double_bounce_sender`.
    pub myhostname: String,
    /// Names our fields: `X-NAME-Queue-ID`.
    pub mail_name: String,
    /// `notify_classes` has `bounce`: the postmaster gets the header of each failed message.
    pub notify_bounce: bool,
    /// `2bounce` (or `bounce`): the postmaster gets failed reports.
    pub notify_2bounce: bool,
    /// `delay`: the postmaster gets the header of each delayed message.
    pub notify_delay: bool,
    /// Who gets `bounce` copies.
    pub bounce_notice_recipient: String,
    /// Who gets `2bounce` copies.
    pub double_bounce_notice_recipient: String,
    /// Who gets `delay` copies.
    pub delay_notice_recipient: String,
    /// Who gets notices about sessions.
    pub error_notice_recipient: String,
    /// Sender of mail to the postmaster; it is never reported on.
    pub double_bounce_sender: String,
    /// Octets of a message that is returned whole, and of a header that is returned.
    pub bounce_size_limit: u64,
    /// `Will-Retry-Until` of a delay: this long after arrival.
    pub maximal_queue_lifetime: Duration,
}

impl Params {
    /// Reads the parameters.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let classes = settings.list("notify_classes");
        let notified = |class: &str| classes.iter().any(|item| item == class);
        Self {
            myhostname: settings.text("myhostname").to_owned(),
            mail_name: settings.text("mail_name").to_owned(),
            notify_bounce: notified("bounce"),
            notify_2bounce: notified("2bounce") || notified("bounce"),
            notify_delay: notified("delay"),
            bounce_notice_recipient: settings.text("bounce_notice_recipient").to_owned(),
            double_bounce_notice_recipient: settings.text("2bounce_notice_recipient").to_owned(),
            delay_notice_recipient: settings.text("delay_notice_recipient").to_owned(),
            error_notice_recipient: settings.text("error_notice_recipient").to_owned(),
            double_bounce_sender: settings.text("double_bounce_sender").to_owned(),
            bounce_size_limit: settings.number("bounce_size_limit"),
            maximal_queue_lifetime: settings.time("maximal_queue_lifetime"),
        }
    }
}

impl Default for Params {
    /// Postfix's defaults; the mail name is ours.
    fn default() -> Self {
        Self {
            myhostname: "localhost".to_owned(),
            mail_name: "Postrider".to_owned(),
            notify_bounce: false,
            notify_2bounce: false,
            notify_delay: false,
            bounce_notice_recipient: "postmaster".to_owned(),
            double_bounce_notice_recipient: "postmaster".to_owned(),
            delay_notice_recipient: "postmaster".to_owned(),
            error_notice_recipient: "postmaster".to_owned(),
            double_bounce_sender: "double-bounce".to_owned(),
            bounce_size_limit: 50_000,
            maximal_queue_lifetime: Duration::from_secs(5 * 24 * 3600),
        }
    }
}
