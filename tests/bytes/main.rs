//! Bad bytes: properties that hold for any input, on random ones and on every one that is kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics, with its reason")]

#[path = "properties.rs"]
mod properties;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use proptest::prelude::*;

/// Every property by its name, on each input in its folder. A crash that the search finds is stored there, too: the
/// test fails until it is fixed, and then keeps it from coming back.
#[test]
fn every_kept_input_still_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut failed = Vec::new();
    for (name, check) in properties::ALL {
        let mut kept = 0;
        for entry in std::fs::read_dir(corpus.join(name)).expect("a folder for each property") {
            let path = entry.expect("an entry").path();
            let input = std::fs::read(&path).expect("an input");
            kept += 1;
            if catch_unwind(AssertUnwindSafe(|| check(&input))).is_err() {
                failed.push(path);
            }
        }
        assert!(kept > 0, "nothing is kept for {name}");
    }
    assert!(failed.is_empty(), "what has to hold for any input does not for {failed:#?}");
}

#[test]
fn every_folder_of_kept_inputs_has_a_property() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for entry in std::fs::read_dir(corpus).expect("the corpus") {
        let name = entry.expect("an entry").file_name();
        assert!(properties::ALL.iter().any(|(known, _)| name == *known), "{name:?} belongs to no property");
    }
}

fn lines(first: &'static str, rest: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (first, rest).prop_map(|(first, rest)| [first.as_bytes(), b"\n", &rest].concat())
}

fn noise(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

fn text(pattern: &'static str) -> impl Strategy<Value = Vec<u8>> {
    pattern.prop_map(String::into_bytes)
}

/// A JSON object with the names that have a meaning.
fn object(names: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        "[0-9]{1,12}",
        "-?[0-9]{1,3}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        "\"[ -~&&[^\"\\\\]]{0,20}\"",
        // A number as text, some of its digits escaped.
        "\"([0-9]|\\\\u003[0-9]){1,12}\"",
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[{}]".to_owned()),
    ];
    prop::collection::vec((prop::sample::select(names), value), 0..5).prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    })
}

proptest! {
    // An input that fails here belongs into `fuzz/corpus`, where every caller finds it.
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_response_is_parsed_or_rejected(input in prop_oneof![
        noise(400),
        lines("(welkin|qontak) [1-5][0-9]{2} [0-9]{1,10}", prop_oneof![
            noise(100),
            text("((Retry-After|content-type|content-encoding):[ -~]{0,30}\n){0,3}\n"),
        ]),
        lines("(welkin|qontak) 20[0-9] 1700000000\ncontent-type: application/json\n", object(&[
            "token", "access_token", "token_type", "enabled", "clientName", "expires_in",
        ])),
    ]) {
        properties::response::check(&input);
    }

    #[test]
    fn no_token_is_valid_for_longer_than_stated(input in prop_oneof![
        lines("welkin 1[67][0-9]{8}", object(&["iat", "exp"])),
        lines("qontak 1[67][0-9]{8}", text("-?[0-9]{1,12}(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?")),
        lines("qontak 1[67][0-9]{8}", text("\"([0-9.e+-]|\\\\u00(3[0-9]|2[bdeBDE]|[46]5)){1,12}\"")),
    ]) {
        properties::lifetime::check(&input);
    }

    #[test]
    fn a_backoff_is_within_its_bounds_or_there_is_none(input in prop_oneof![
        lines("(429|503|500) [0-9]{10}", text("[ -~]{0,40}")),
        lines("429 17[0-9]{8}", text("(Mon|Tue), [0-3][0-9] (Nov|Dec) 20(2[0-9]|30) [0-2][0-9]:[0-5][0-9]:[0-5][0-9] GMT")),
        lines("429 17[0-9]{8}", text("[0-9]{1,30}")),
    ]) {
        properties::backoff::check(&input);
    }

    #[test]
    fn a_template_can_be_restored_from_its_rendered_text(input in prop_oneof![
        noise(100),
        text("([{}a\u{e9}]|\\{\\{|\\{(token|tokenType|expiresAt|issuedAt|provider)\\}){0,12}"),
    ]) {
        properties::template::check(&input);
    }

    #[test]
    fn a_url_has_exactly_the_intended_path_and_origin(input in prop_oneof![
        lines("https://[ -~]{0,30}", text("[ -~]{0,10}\n[ -~]{0,10}\n[ -~]{0,20}")),
        lines("https://([a-z0-9]{1,8}\\.){0,2}[A-Za-z0-9]{1,8}(:[0-9]{1,5})?", text("[A-Za-z0-9_-]{1,130}\n[a-z]{1,9}\n\\PC{0,20}")),
        lines("((welkin|qontak|x)=https://[a-c]{1,2}(:443)?,?){1,4}", noise(4)),
    ]) {
        properties::url::check(&input);
    }

    #[test]
    fn any_objects_are_reconciled_without_harm(input in noise(600)) {
        properties::reconcile::check(&input);
    }
}
