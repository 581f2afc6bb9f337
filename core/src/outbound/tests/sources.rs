//! Where connections leave from.

use super::{Seen, World, attempt, outcome_text};
use crate::ask::DnsFailure;
use crate::delivery::{Params, Preference};
use crate::mail::{Feedback, Settled};
use crate::outbound::{Config, Input, Loss, Outbound};
use std::net::IpAddr;
use std::sync::Arc;

/// Where a connection leaves from on a host that receives mail at these addresses.
fn leaves_from(own: &[&str], params: Params) -> Vec<Seen> {
    let mut world = World::new(params.clone());
    world.mx("example.net", 10, "mx.example.net");
    world.address("mx.example.net", "192.0.2.1");
    world.address("mx.example.net", "2001:db8::1");
    let own: Vec<IpAddr> = own.iter().map(|address| address.parse().unwrap()).collect();
    let config = Config { params: Arc::new(params), ..Config::default() }.sending_from(&own);
    world.outbound = Outbound::new(Arc::new(config), 7);
    world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net"]))));
    world.tell(Input::Lost(Loss::Refused));
    world.seen.retain(|seen| matches!(seen, Seen::Connect(_)));
    world.seen
}

/// postconf(5), inet_interfaces: just one address of a protocol, and no loopback.
#[test]
fn the_only_address_that_receives_mail_is_the_one_that_sends_it() {
    let ordered = || {
        let mut params = Params::default();
        params.hosts.address_preference = Preference::Ipv4;
        params
    };
    let connects = |own: &[&str], params: Params, to: [&str; 2]| {
        let wanted = to.map(|to| Seen::Connect(to.to_owned()));
        assert_eq!(leaves_from(own, params), wanted, "{own:?}");
    };
    let (four, six) = ("192.0.2.1:25", "2001:db8::1:25");
    let (from_four, from_six) = ("192.0.2.1:25 from 198.51.100.7", "2001:db8::1:25 from 2001:db8::7");
    connects(&["198.51.100.7"], ordered(), [from_four, six]);
    connects(&["198.51.100.7", "2001:db8::7"], ordered(), [from_four, from_six]);
    connects(&["198.51.100.7", "198.51.100.8", "2001:db8::7"], ordered(), [four, from_six]);
    connects(&["127.0.0.1", "198.51.100.7", "::1"], ordered(), [four, six]);
    connects(&["127.0.0.1"], ordered(), [four, six]);
    connects(&[], ordered(), [four, six]);
    // smtp_bind_address = 0.0.0.0 switches it off for one protocol.
    let mut params = ordered();
    params.hosts.bind_address = Some("0.0.0.0".parse().unwrap());
    connects(&["198.51.100.7", "2001:db8::7"], params, ["192.0.2.1:25 from 0.0.0.0", from_six]);
}

/// smtp_bind_address_enforce is about smtp_bind_address: the address of inet_interfaces is a preference.
#[test]
fn an_address_that_can_not_send_is_warned_of_once_and_mail_leaves_from_another() {
    let mut params = Params::default();
    params.hosts.bind_address_enforce = true;
    let mut world = World::simple(params.clone());
    world.address("mx.example.net", "192.0.2.2");
    let config = Config { params: Arc::new(params), ..Config::default() };
    let config = config.sending_from(&["203.0.113.7".parse().unwrap()]);
    world.outbound = Outbound::new(Arc::new(config), 7);
    world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net"]))));
    world.tell(Input::Lost(Loss::NotBound("Cannot assign requested address".into())));
    world.tell(Input::Lost(Loss::Refused));
    world.tell(Input::Lost(Loss::Refused));
    let connects = world.seen.iter().filter(|seen| matches!(seen, Seen::Connect(_)));
    let from: Vec<bool> =
        connects.map(|seen| matches!(seen, Seen::Connect(to) if to.ends_with(" from 203.0.113.7"))).collect();
    assert_eq!(from, [true, false, false]);
    let warned = world.log.iter().filter(|line| line.contains("bind 203.0.113.7: Cannot assign")).count();
    assert_eq!(warned, 1, "{:#?}", world.log);
    let settled = world.settled();
    assert!(outcome_text(&settled.outcomes[0].1).starts_with("deferred 4.4.1 "));
}

#[test]
fn a_connection_for_which_this_host_lacks_descriptors_says_nothing_of_the_destination_and_no_other_host_is_tried()
 {
    let mut world = World::simple(Params::default());
    world.address("mx.example.net", "192.0.2.2");
    world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net"]))));
    world.tell(Input::Lost(Loss::Short("Too many open files".into())));
    assert_eq!(world.seen.iter().filter(|seen| matches!(seen, Seen::Connect(_))).count(), 1);
    assert!(!world.log.iter().any(|line| line.contains("connect to ")), "{:#?}", world.log);
    assert_short(&world.settled(), "Too many open files");
}

#[test]
fn a_name_for_which_this_host_lacks_descriptors_says_nothing_of_the_destination_either() {
    let mut world = World::new(Params::default());
    world.fails("example.net", DnsFailure::Short);
    world.tell(Input::Attempt(Box::new(attempt("example.net", &["b@example.net"]))));
    assert_short(&world.settled(), "example.net can not be looked up");
}

fn assert_short(settled: &Settled, why: &str) {
    assert_eq!(settled.feedback, Feedback::Neutral);
    let text = format!("deferred 4.3.0 (this host is short of file descriptors or memory: {why})");
    assert_eq!(outcome_text(&settled.outcomes[0].1), text);
}
