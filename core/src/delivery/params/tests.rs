//! What a transport is configured to do, as it is read from parameters.

use super::*;

#[test]
fn of_a_list_of_interfaces_the_addresses_are_kept() {
    let items = ["[2001:db8::1]", "192.0.2.1", "$myhostname"].map(str::to_owned);
    let listed = ["2001:db8::1", "192.0.2.1"].map(|text| text.parse().expect("an address"));
    assert_eq!(Interfaces::new(&items), Interfaces::Listed(listed.into()));
}

#[test]
fn time_outs_that_the_kernel_keeps_have_a_parameter_each() {
    let settings = Settings::of(&[
        ("smtp_connect_timeout", "3s"),
        ("lmtp_connect_timeout", "4s"),
        ("smtp_data_xfer_timeout", "5s"),
        ("lmtp_data_xfer_timeout", "6s"),
    ]);
    let both = [Protocol::Smtp, Protocol::Lmtp].map(|protocol| Params::new(&settings, protocol).timeouts);
    assert_eq!(both.map(|timeouts| timeouts.connect), [3, 4].map(Duration::from_secs));
    assert_eq!(both.map(|timeouts| timeouts.data_xfer), [5, 6].map(Duration::from_secs));
}

#[test]
fn a_list_of_interfaces_of_one_word_may_be_a_word() {
    let of =
        |words: &[&str]| Interfaces::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!([of(&["all"]), of(&["loopback-only"])], [Interfaces::All, Interfaces::Loopback]);
    assert_eq!(
        [of(&["other"]), of(&["all", "all"])],
        [Interfaces::Listed(vec![]), Interfaces::Listed(vec![])]
    );
}

#[test]
fn a_level_of_tls_is_said_by_one_parameter_or_by_three_older_ones() {
    let unsupported = |name: &str| TlsLevel::Unsupported(name.into());
    let named = |level| TlsLevel::new(level, true, true, true);
    assert_eq!(
        ["none", "may", "dane", "encrypt"].map(named),
        [TlsLevel::None, TlsLevel::May, TlsLevel::May, TlsLevel::Encrypt]
    );
    assert_eq!([named("secure"), named("nonsense")], [unsupported("secure"), unsupported("nonsense")]);
    for (use_tls, enforce_tls, enforce_peername, level) in [
        (false, false, false, TlsLevel::None),
        (false, false, true, TlsLevel::None),
        (true, false, true, TlsLevel::May),
        (false, true, false, TlsLevel::Encrypt),
        (true, true, false, TlsLevel::Encrypt),
        (false, true, true, unsupported("verify")),
    ] {
        assert_eq!(TlsLevel::new("", use_tls, enforce_tls, enforce_peername), level);
    }
}

#[test]
fn an_address_to_send_from_is_one_of_its_own_family() {
    let address = |text: &str| Some(text.parse().expect("an address"));
    let params = HostParams {
        bind_address: address("192.0.2.1"),
        bind_address6: address("2001:db8::1"),
        ..HostParams::default()
    };
    let from =
        |params: &HostParams, server: &str| params.bind_address_for(server.parse().expect("an address"));
    assert_eq!(from(&params, "192.0.2.9"), address("192.0.2.1"));
    assert_eq!(from(&params, "2001:db8::9"), address("2001:db8::1"));
    let crossed =
        HostParams { bind_address: params.bind_address6, bind_address6: params.bind_address, ..params };
    assert_eq!([from(&crossed, "192.0.2.9"), from(&crossed, "2001:db8::9")], [None, None]);
}

#[test]
fn how_names_are_looked_up_and_which_families_are_spoken_is_read_from_lists() {
    let hosts = |lines: &[(&str, &str)]| Params::new(&Settings::of(lines), Protocol::Smtp).hosts;
    let lookup = |words| {
        let hosts = hosts(&[("smtp_host_lookup", words)]);
        (hosts.lookup_dns, hosts.lookup_native)
    };
    assert_eq!(["dns", "native", "dns, native"].map(lookup), [(true, false), (false, true), (true, true)]);
    let spoken = |words| {
        let hosts = hosts(&[("inet_protocols", words)]);
        (hosts.ipv4, hosts.ipv6)
    };
    assert_eq!(["ipv4", "ipv6", "all"].map(spoken), [(true, false), (false, true), (true, true)]);
    let preference = |word| hosts(&[("smtp_address_preference", word)]).address_preference;
    assert_eq!(
        ["ipv4", "ipv6", "any"].map(preference),
        [Preference::Ipv4, Preference::Ipv6, Preference::Any]
    );
}

#[test]
fn lmtp_has_a_port_of_its_own() {
    let port =
        |protocol, lines: &[(&str, &str)]| Params::new(&Settings::of(lines), protocol).hosts.default_port;
    assert_eq!(port(Protocol::Lmtp, &[("lmtp_tcp_port", "2003")]), 2003);
    assert_eq!(port(Protocol::Lmtp, &[("lmtp_tcp_port", "nonsense")]), 24);
    assert_eq!(port(Protocol::Smtp, &[("lmtp_tcp_port", "2003")]), 25);
}

#[test]
fn of_the_classes_of_notices_a_client_has_two() {
    let notify = |words| Params::new(&Settings::of(&[("notify_classes", words)]), Protocol::Smtp).notify;
    let words = |words: &'static str| notify(words).words().collect::<Vec<_>>();
    assert_eq!(words("bounce, data, policy, protocol, resource, software"), ["data", "protocol"]);
    assert_eq!(words("protocol, resource"), ["protocol"]);
    assert!(notify("resource, software").is_empty());
}
