//! libFuzzer on one of the targets of `postrider_tests::fuzz`, the one that the variable TARGET names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postrider_tests::fuzz::{Target, target};
use std::sync::LazyLock;

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("TARGET={name} is none of the folders of corpus/fuzz"))
});

fuzz_target!(|octets: &[u8]| CHOSEN(octets));
