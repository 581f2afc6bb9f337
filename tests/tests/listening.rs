//! Where the daemon listens: `inet_interfaces` and `inet_protocols`, for a service of master.cf that names a port only.

use postrider_tests::daemon::Daemon;
use postrider_tests::{PATIENCE, free_port};
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpStream;

/// Addresses that every host has: all of 127.0.0.0/8 is loopback (RFC 1122 3.2.1.3).
const LOOPBACK: [&str; 4] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"];

/// Whether somebody greets there; false when the connection is refused.
fn greets(address: &str, port: u16) -> bool {
    let stream = match TcpStream::connect((address, port)) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return false,
        Err(error) => panic!("{address} is no address of this host: {error}"),
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.starts_with("220 mail.here.test "), "{line}");
    true
}

/// Those of [`LOOPBACK`] where a daemon listens that has these lines, for a service that names this port.
fn listens(lines: &str, host: &str) -> Vec<&'static str> {
    let port = free_port();
    let daemon = Daemon::start_with("listening", lines, &format!("{host}{port} inet n - n - - smtpd"));
    let found = LOOPBACK.into_iter().filter(|address| greets(address, port)).collect();
    // The service of the tools names its address, which does not depend on these lines.
    assert!(greets("127.0.0.1", daemon.port));
    found
}

#[test]
fn a_service_that_names_no_address_listens_on_those_of_inet_interfaces() {
    let on = |interfaces: &str| listens(&format!("inet_interfaces = {interfaces}\ninet_protocols = all"), "");
    assert_eq!(on("127.0.0.2"), ["127.0.0.2"]);
    assert_eq!(on("127.0.0.1, [127.0.0.3]"), ["127.0.0.1", "127.0.0.3"]);
    assert_eq!(on("::1"), ["::1"]);
    // The interface has these; that the others of 127.0.0.0/8 are ours as well does not show on it.
    assert_eq!(on("loopback-only"), ["127.0.0.1", "::1"]);
    assert_eq!(on("all"), LOOPBACK);
}

#[test]
fn a_service_that_names_no_address_listens_on_those_of_inet_protocols() {
    let over = |protocols: &str, interfaces: &str| {
        listens(&format!("inet_protocols = {protocols}\ninet_interfaces = {interfaces}"), "")
    };
    for interfaces in ["127.0.0.1, [::1]", "loopback-only"] {
        assert_eq!(over("ipv4", interfaces), ["127.0.0.1"], "{interfaces}");
        assert_eq!(over("ipv6", interfaces), ["::1"], "{interfaces}");
        assert_eq!(over("all", interfaces), ["127.0.0.1", "::1"], "{interfaces}");
        assert_eq!(over("ipv6, ipv4", interfaces), ["127.0.0.1", "::1"], "{interfaces}");
    }
    assert_eq!(over("ipv4", "all"), ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    assert_eq!(over("ipv6", "all"), ["::1"]);
}

#[test]
fn a_service_that_names_an_address_listens_there_whatever_inet_interfaces_has() {
    let lines = "inet_interfaces = 127.0.0.2\ninet_protocols = all";
    assert_eq!(listens(lines, "127.0.0.3:"), ["127.0.0.3"]);
    assert_eq!(listens(lines, "[::1]:"), ["::1"]);
}

#[test]
fn a_service_that_names_a_host_listens_on_its_addresses() {
    let over = |protocols: &str| {
        let port = free_port();
        let lines = format!("inet_interfaces = 127.0.0.2, ::1\ninet_protocols = {protocols}");
        let service = format!("own.test:{port} inet n - n - - smtpd");
        let mut daemon = Daemon::prepare("listening-named", &lines, &service);
        daemon.own_hosts("127.0.0.3 own.test\n::1 own.test\n");
        daemon.run();
        LOOPBACK.into_iter().filter(|address| greets(address, port)).collect::<Vec<&str>>()
    };
    assert_eq!(over("all"), ["127.0.0.3", "::1"]);
    assert_eq!(over("ipv4"), ["127.0.0.3"]);
    assert_eq!(over("ipv6"), ["::1"]);
}

/// master(8) opens the sockets, and knows main.cf only.
#[test]
fn what_a_service_overrides_does_not_change_where_it_listens() {
    let port = free_port();
    let service = format!("{port} inet n - n - - smtpd -o inet_interfaces=127.0.0.3");
    let daemon =
        Daemon::start_with("listening-overridden", "inet_interfaces = 127.0.0.1, 127.0.0.2", &service);
    let found: Vec<&str> = LOOPBACK.into_iter().filter(|address| greets(address, port)).collect();
    assert_eq!(found, ["127.0.0.1", "127.0.0.2"]);
    drop(daemon);
}
