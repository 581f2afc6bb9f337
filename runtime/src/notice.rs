//! Submits notices to the postmaster about connections on which there was trouble.

use crate::env::Environment;
use crate::inbound::Shared;
use crate::observe;
use crate::site::Site;
use crate::submit::{Whole, submit};
use crate::sync::PoisonError;
use postrider_core::mail::Notice;
use postrider_core::report::{self, Unmade};
use postrider_core::submission::{Maker, Start};

/// Sends it, unless there were too many. One that can not be sent is only logged: the log has what it tells.
pub async fn send<E: Environment>(shared: &Shared<E>, site: &Site<E>, notice: &Notice) {
    let now = shared.env.now();
    let allowed = shared.notices.lock().unwrap_or_else(PoisonError::into_inner).take(now.mono);
    let Some(withheld) = allowed else { return };
    let offset = shared.env.utc_offset(now.wall);
    let Some((envelope, content)) = report::notice(notice, &site.report, now, offset, withheld) else {
        return;
    };
    let start = Start { maker: Maker::Notice, envelope, prepend: Vec::new(), changes: Vec::new() };
    if let Err(failure) = submit(shared, site, start, &mut Whole(Some(content))).await {
        let (peer, why) = (&notice.peer, Unmade::from(failure));
        observe::warn(format!("a notice to the postmaster about {peer} was not sent: {}", why.why()));
    }
}
