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
