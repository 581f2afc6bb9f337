//! Networks, and tables of networks: cidr_table(5).
//!
//! IPv4 mapped into IPv6 counts as IPv4, so that a dual-stack socket can not step around a rule.

use super::lines::Line;
use super::{Problem, Report};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: an address of which the first `bits` count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `192.0.2.1`, `[2001:db8::]/32` or `[::1/128]`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bare: String = text.chars().filter(|c| !matches!(c, '[' | ']')).collect();
        if text.matches('[').count() != text.matches(']').count() || text.matches('[').count() > 1 {
            return Err(format!("unbalanced brackets in \"{text}\""));
        }
        let (address, bits) = match bare.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (bare.as_str(), None),
        };
        let base: IpAddr = address.parse().map_err(|_| format!("bad address pattern: \"{text}\""))?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits: u8 = match bits {
            None => width,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|&bits| bits <= width && text.chars().all(|c| c != '+'))
                .ok_or_else(|| format!("bad mask value: \"{text}\""))?,
        };
        let network = Self { base: masked(base, bits), bits };
        if network.base != base {
            return Err(format!(
                "non-null host address bits in \"{text}\", perhaps you should use \"{}/{bits}\" instead",
                network.base
            ));
        }
        Ok(network)
    }

    /// What a rule about this network, negated or not, says of an address; a rule about the other family says nothing.
    fn applies(&self, address: IpAddr, wanted: bool) -> bool {
        let address = if self.base.is_ipv4() { address.to_canonical() } else { address };
        address.is_ipv4() == self.base.is_ipv4() && self.contains(address) == wanted
    }

    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = if self.base.is_ipv4() { address.to_canonical() } else { address };
        address.is_ipv4() == self.base.is_ipv4() && masked(address, self.bits) == self.base
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    let keep = |width: u32| width.saturating_sub(u32::from(bits));
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(keep(32)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(keep(128)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Match {
        network: Network,
        wanted: bool,
        result: String,
        line: usize,
    },
    /// Goes to `otherwise` when the condition does not hold.
    If {
        network: Network,
        wanted: bool,
        otherwise: usize,
    },
    /// A condition that could not be read: nothing behind it can be decided.
    Broken(String),
}

/// A compiled table of networks.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    steps: Vec<Step>,
}

impl Rules {
    pub(super) fn compile(lines: &[Line], report: &mut Report) -> Self {
        let mut steps = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        for line in lines {
            let (word, rest) = line.text.trim().split_once([' ', '\t']).unwrap_or((line.text.trim(), ""));
            if word.eq_ignore_ascii_case("endif") {
                close(&mut steps, &mut open, line, report);
                continue;
            }
            let condition = word.eq_ignore_ascii_case("if");
            let (pattern, result) = if condition { (rest.trim(), "") } else { (word, rest.trim()) };
            let (pattern, wanted) = match pattern.strip_prefix('!') {
                Some(pattern) => (pattern.trim_start(), false),
                None => (pattern, true),
            };
            match (Network::parse(pattern), condition) {
                (Ok(network), true) => {
                    open.push(steps.len());
                    steps.push(Step::If { network, wanted, otherwise: usize::MAX });
                }
                (Ok(network), false) => {
                    if result.is_empty() {
                        report.warn(line, "no result text: the empty string is used", "add a result");
                    }
                    let line = line.number;
                    steps.push(Step::Match { network, wanted, result: result.to_owned(), line });
                }
                (Err(what), false) => report.warn(line, &what, "this rule is skipped until it is corrected"),
                (Err(what), true) => {
                    open.push(steps.len());
                    let why = report.fatal(line, &what, "correct it: lookups that come so far fail");
                    steps.push(Step::Broken(why));
                }
            }
        }
        if !open.is_empty() {
            report.problems.push(Problem::new(
                report.file,
                0,
                "IF has no matching ENDIF",
                "add an endif line",
            ));
        }
        Self { steps }
    }

    /// The results and their lines.
    pub(super) fn results(&self) -> impl Iterator<Item = (usize, String)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Match { result, line, .. } => Some((*line, result.clone())),
            Step::If { .. } | Step::Broken(_) => None,
        })
    }

    pub(super) fn lookup(&self, key: &str) -> Result<Option<String>, String> {
        let Ok(address) = key.parse::<IpAddr>() else { return Ok(None) };
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            at += 1;
            match step {
                Step::Match { network, wanted, result, .. } if network.applies(address, *wanted) => {
                    return Ok(Some(result.clone()));
                }
                Step::If { network, wanted, otherwise } if !network.applies(address, *wanted) => {
                    at = *otherwise;
                }
                Step::Broken(why) => return Err(why.clone()),
                Step::Match { .. } | Step::If { .. } => {}
            }
        }
        Ok(None)
    }
}

fn close(steps: &mut [Step], open: &mut Vec<usize>, line: &Line, report: &mut Report) {
    let end = steps.len();
    match open.pop() {
        Some(start) => {
            if let Some(Step::If { otherwise, .. }) = steps.get_mut(start) {
                *otherwise = end;
            }
        }
        None => report.warn(line, "ignoring ENDIF without matching IF", "remove the line"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{Kind, Table};
    use proptest::prelude::*;

    fn table(text: &str) -> (Table, Vec<Problem>) {
        Table::compile(Kind::Cidr, text, "/t")
    }

    #[test]
    fn the_first_network_that_matches_wins() {
        let (table, problems) = table("192.168.1.1 OK\n192.168.0.0/16\tREJECT no\n2001:db8::/32 six\n");
        assert_eq!(problems, []);
        assert_eq!(table.lookup("192.168.1.1"), Ok(Some("OK".into())));
        assert_eq!(table.lookup("192.168.7.1"), Ok(Some("REJECT no".into())));
        assert_eq!(table.lookup("2001:db8:0::9"), Ok(Some("six".into())));
        assert_eq!(table.lookup("10.0.0.1"), Ok(None));
        assert_eq!(table.lookup("client.example"), Ok(None));
    }

    #[test]
    fn negation_and_conditions_nest() {
        let text =
            "if 10.0.0.0/8\nif !10.1.0.0/16\n10.0.0.0/8 outer\nendif\n0.0.0.0/0 inner\nendif\n![::]/0 rest\n";
        let (table, problems) = table(text);
        assert_eq!(problems, []);
        assert_eq!(table.lookup("10.2.0.1"), Ok(Some("outer".into())));
        assert_eq!(table.lookup("10.1.0.1"), Ok(Some("inner".into())));
        assert_eq!(table.lookup("11.0.0.1"), Ok(None), "the last rule is about the other family");
        assert_eq!(table.lookup("::1"), Ok(None));
    }

    #[test]
    fn host_bits_are_a_mistake_that_names_its_correction() {
        let (table, problems) = table("1.2.3.4/8 bad\n10.0.0.0/8 ok\n");
        assert!(problems[0].what.contains("perhaps you should use \"1.0.0.0/8\""), "{problems:?}");
        assert_eq!(table.lookup("1.1.1.1"), Ok(None));
        assert_eq!(table.lookup("10.1.1.1"), Ok(Some("ok".into())));
    }

    #[test]
    fn a_condition_that_can_not_be_read_decides_nothing() {
        let (table, problems) = table("9.9.9.9 first\nif 300.0.0.0/8\n0.0.0.0/0 OK\nendif\n");
        assert!(problems[0].fatal);
        assert_eq!(table.lookup("9.9.9.9"), Ok(Some("first".into())));
        assert!(table.lookup("1.1.1.1").is_err());
    }

    #[test]
    fn a_rule_says_nothing_of_the_other_family_negated_or_not() {
        let (table, _) = table("!127.0.0.0/8 not loopback\n!2001:db8::/32 not documentation\n");
        assert_eq!(table.lookup("::1"), Ok(Some("not documentation".to_owned())));
        assert_eq!(table.lookup("2001:db8::1"), Ok(None));
        assert_eq!(table.lookup("10.0.0.1"), Ok(Some("not loopback".to_owned())));
        assert_eq!(table.lookup("127.0.0.1"), Ok(None));
        let (table, _) = self::table("if !127.0.0.0/8\n0.0.0.0/0 four\n::/0 six inside\nendif\n::/0 six\n");
        assert_eq!(table.lookup("::1"), Ok(Some("six".to_owned())));
        assert_eq!(table.lookup("10.0.0.1"), Ok(Some("four".to_owned())));
        assert_eq!(table.lookup("127.0.0.1"), Ok(None));
    }

    #[test]
    fn mapped_addresses_are_the_addresses_they_map() {
        let loopback = Network::parse("127.0.0.0/8").unwrap();
        assert!(loopback.contains("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!Network::parse("::/0").unwrap().contains("127.0.0.1".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("9.9.9.9".parse().unwrap()));
        for bad in ["1.2.3.4/33", "1.2.3/8", "[::1", "1.2.3.4/+8", "", "/8", "a.b"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }

    /// The bits of an address, one by one.
    fn bits_of(address: IpAddr) -> Vec<bool> {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        octets.into_iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
    }

    /// An address, how many of its bits count, and one that differs behind some bit of it.
    fn neighbours() -> impl Strategy<Value = (IpAddr, u8, IpAddr)> {
        prop_oneof![
            (any::<u32>(), 0..=32u8, any::<u32>(), 0..=32u32).prop_map(|(base, bits, other, same)| {
                let other = base ^ other.checked_shr(same).unwrap_or(0);
                (Ipv4Addr::from_bits(base).into(), bits, Ipv4Addr::from_bits(other).into())
            }),
            (any::<u128>(), 0..=128u8, any::<u128>(), 0..=128u32).prop_map(|(base, bits, other, same)| {
                let other = base ^ other.checked_shr(same).unwrap_or(0);
                (Ipv6Addr::from_bits(base).into(), bits, Ipv6Addr::from_bits(other).into())
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_network_contains_what_agrees_in_its_bits((address, bits, other) in neighbours()) {
            let base = masked(address, bits);
            for text in [format!("{base}/{bits}"), format!("[{base}]/{bits}"), format!("[{base}/{bits}]")] {
                let network = Network::parse(&text).unwrap();
                prop_assert!(network.contains(base) && network.contains(address), "{text}");
                let count = usize::from(bits);
                let agree = bits_of(address)[..count] == bits_of(other)[..count];
                prop_assert_eq!(network.contains(other), agree, "{} {}", text, other);
            }
        }

        #[test]
        fn an_address_alone_is_a_network_of_one((address, _, other) in neighbours()) {
            let network = Network::parse(&address.to_string()).unwrap();
            prop_assert!(network.contains(address));
            prop_assert_eq!(network.contains(other), address == other);
        }

        #[test]
        fn host_bits_are_refused_with_a_network_that_has_none((address, bits, _) in neighbours()) {
            let host = bits_of(address)[usize::from(bits)..].contains(&true);
            let read = Network::parse(&format!("{address}/{bits}"));
            prop_assert_eq!(read.is_err(), host);
            if let Err(why) = read {
                let hint = why.rsplit('"').nth(1).unwrap_or_default();
                prop_assert!(Network::parse(hint).unwrap().contains(address), "{why}");
            }
        }

        #[test]
        fn the_first_rule_that_applies_answers(
            rules in prop::collection::vec((any::<bool>(), any::<u8>(), 24..=32u8), 0..8),
            key: u8,
        ) {
            let key = IpAddr::from([10, 0, 0, key]);
            let rules: Vec<_> = rules
                .into_iter()
                .map(|(negated, last, bits)| (negated, masked([10, 0, 0, last].into(), bits), bits))
                .collect();
            let line = |(at, (negated, base, bits)): (usize, &(bool, IpAddr, u8))| {
                format!("{}{base}/{bits} {at}\n", if *negated { "!" } else { "" })
            };
            let (table, problems) = table(&rules.iter().enumerate().map(line).collect::<String>());
            let applies = |(negated, base, bits): &(bool, IpAddr, u8)| (masked(key, *bits) == *base) != *negated;
            prop_assert_eq!(problems, []);
            let wanted = rules.iter().position(applies).map(|at| at.to_string());
            prop_assert_eq!(table.lookup(&key.to_string()), Ok(wanted));
        }

        #[test]
        fn any_text_is_rules_or_problems(
            text in "\\PC{0,30}|(if |!|endif|[0-9a-f.:/\\[\\] \\n]){0,30}",
            key in "[0-9a-f.:]{0,12}",
        ) {
            let (table, _) = table(&text);
            _ = table.lookup(&key);
            _ = Network::parse(&text);
        }
    }
}
