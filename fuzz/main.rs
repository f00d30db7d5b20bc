//! libFuzzer's entry: one property, named by the environment variable TARGET, on one input after the other.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static CHECK: OnceLock<properties::Property> = OnceLock::new();

fuzz_target!(
    init: {
        let target = std::env::var("TARGET").expect("TARGET names a property");
        let named = properties::ALL.iter().find(|(name, _)| *name == target);
        let (_, check) = named.unwrap_or_else(|| panic!("{target:?} is no property"));
        CHECK.set(*check).expect("set once");
    },
    |input: &[u8]| {
        if let Some(check) = CHECK.get() {
            check(input);
        }
    }
);
