//! virtual(8): mailboxes by table.

use super::{
    Delivery, Deposit, Format, Job, Params, delivered, diagnosis, fault, loops, split_extension, trace,
};
use crate::ask::{Facts, Pause, TableFailure, TableName};
use crate::mail::Outcome;
use crate::wire::Mailbox;

const RELAY: &str = "virtual";

/// What virtual(8) does for a recipient.
///
/// # Errors
/// Only [`Pause::Need`]: a broken table defers.
pub fn decide_virtual(job: Job<'_>, params: &Params, facts: &Facts) -> Result<Delivery, Pause> {
    let delivery = match decided(job, params, facts) {
        Err(Pause::Broken(TableFailure { table, why })) => {
            let text = format!("table lookup error: {} ({why})", table.0);
            Ok(Delivery::only(Outcome::Deferred(diagnosis((4, 3, 0), text, RELAY))))
        }
        other => other,
    };
    delivery.map(|delivery| delivery.by(&job.attempt.transport))
}

fn decided(job: Job<'_>, params: &Params, facts: &Facts) -> Result<Delivery, Pause> {
    if let Some(outcome) = loops(job, RELAY) {
        return Ok(Delivery::only(outcome));
    }
    let address = &job.recipient.address;
    let find = |tables: &[TableName]| find(tables, address, params, facts);
    let Some(place) = find(&params.virtual_mailbox_maps)? else {
        let text = format!("unknown user: \"{}\"", address.external().to_lowercase());
        return Ok(Delivery::only(Outcome::Failed(diagnosis((5, 1, 1), text, RELAY))));
    };
    let (uid, gid) = (find(&params.virtual_uid_maps)?, find(&params.virtual_gid_maps)?);
    let number = |text: Option<String>| text.and_then(|text| text.trim().parse::<u32>().ok());
    let high_enough = |uid: &u32| u64::from(*uid) >= params.virtual_minimum_uid;
    // A table that can be written by others must not lead out of the base.
    let inside = !place.split('/').any(|part| part == "..") && !place.contains('\0');
    let (Some(uid), Some(gid), true) =
        (number(uid).filter(high_enough), number(gid).filter(|gid| *gid > 0), inside)
    else {
        let text = "mail system configuration error";
        return Ok(Delivery::only(Outcome::Deferred(diagnosis((4, 3, 5), text, RELAY))));
    };
    let path = if params.virtual_mailbox_base.is_empty() {
        place
    } else {
        format!("{}/{place}", params.virtual_mailbox_base.trim_end_matches('/'))
    };
    let format = if path.ends_with('/') { Format::Maildir } else { Format::Mbox };
    let deposit = Deposit {
        path,
        format,
        uid,
        gid,
        header: trace(job, params.enable_original_recipient, true),
        limit: params.virtual_mailbox_limit,
        locks: params.virtual_mailbox_lock,
        stale_lock: params.stale_lock_time,
        in_spool: false,
        strict_owner: params.strict_mailbox_ownership,
        owner: address.external().to_lowercase(),
    };
    if deposit.limit > 0 && job.attempt.size > deposit.limit {
        return Ok(Delivery::only(fault(&deposit, &super::Fault::Full, RELAY)));
    }
    let text = if format == Format::Maildir { "delivered to maildir" } else { "delivered to mailbox" };
    Ok(Delivery { deposits: vec![deposit], ..Delivery::only(delivered(text, RELAY)) })
}

/// user+ext@domain, user@domain, @domain; tables of patterns see only the first.
fn find(
    tables: &[TableName],
    address: &Mailbox,
    params: &Params,
    facts: &Facts,
) -> Result<Option<String>, Pause> {
    let mut keys = vec![address.external()];
    let plain = format!("{}@{}", address.local(), address.domain());
    if plain != keys[0] {
        keys.push(plain);
    }
    if let (base, Some(_)) = split_extension(address.local(), params) {
        keys.push(Mailbox::new(base, address.domain()).external());
    }
    keys.push(format!("@{}", address.domain()));
    for (place, key) in keys.iter().enumerate() {
        for table in tables.iter().filter(|table| place == 0 || !table.is_pattern()) {
            if let Some(value) = facts.lookup(table, &key.to_lowercase())? {
                return Ok(Some(value.to_owned()));
            }
        }
    }
    Ok(None)
}
