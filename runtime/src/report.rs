//! Makes a report: reads what it returns, composes it, and submits it together with the changes that belong to it.

use crate::content::Reader;
use crate::env::Environment;
use crate::inbound::Shared;
use crate::limits::REPORT_CHUNK;
use crate::site::Site;
use crate::submit::{Whole, submit};
use postrider_core::report::{self, Plan, Unmade};
use postrider_core::submission::{Maker, Start};
use std::sync::Arc;

/// Makes it; durable when this returns well.
///
/// # Errors
/// Why not; the manager tries again.
pub async fn make<E: Environment>(shared: &Shared<E>, site: &Site<E>, plan: Plan) -> Result<(), Unmade> {
    let original = read_original(shared, site, &plan).await.map_err(Unmade::Trouble)?;
    let now = shared.env.now();
    let content = report::compose(&plan, &site.report, now, shared.env.utc_offset(now.wall), &original);
    drop(original);
    let start = Start {
        maker: Maker::Report { kind: plan.kind, about: plan.about.id, postmaster: plan.double_bounce },
        envelope: report::envelope(&plan, &site.report, &content, now.wall),
        prepend: Vec::new(),
        changes: plan.changes,
    };
    submit(shared, site, start, &mut Whole(Some(content))).await?;
    Ok(())
}

/// The start of the message that the report returns, as far as it returns it.
async fn read_original<E: Environment>(
    shared: &Shared<E>,
    site: &Site<E>,
    plan: &Plan,
) -> Result<Vec<u8>, String> {
    let wanted = usize::try_from(report::octets_wanted(plan, &site.report)).unwrap_or(usize::MAX);
    let mut reader = Reader::new(plan.about.id, Arc::new(plan.about.pieces.clone()));
    let mut original = Vec::new();
    while original.len() < wanted {
        let octets = reader.next(&shared.spool, REPORT_CHUNK.min(wanted - original.len())).await?;
        if octets.is_empty() {
            break;
        }
        original.extend_from_slice(&octets);
    }
    original.truncate(wanted);
    Ok(original)
}
