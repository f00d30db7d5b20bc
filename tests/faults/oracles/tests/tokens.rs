//! I3, I4 and I8.

use std::time::Duration;

use super::forge::{Forge, TARGET, assert_broken, assert_kept, honest, second};
use crate::history::What;

#[test]
fn an_older_token_over_a_newer_one_is_noticed() {
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two").syncs("second");
    it.at(200).edits(|_| {}).stores("first");
    assert_broken(&it, "I3", "older exchange");
    // Over nothing, after a newer one was there.
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two").syncs("second");
    it.at(200).deletes_target().reads().stores("first");
    assert_broken(&it, "I3", "older exchange");
    // Without its version it replaces one that came while it was on its way.
    let mut it = Forge::new();
    it.asks("first").at(10).did(What::Paused { replica: 0 }).at(90).asks("second").stores("second");
    it.at(100).stores("first");
    it.last_call().received = second(50);
    assert_broken(&it, "I3", "older exchange");
    // What a person puts back is not the operator's doing, and to leave it there while a label is mended neither.
    let mut it = Forge::new();
    it.syncs("first");
    let first = it.target.clone().unwrap();
    it.at(100).source("two").syncs("second").did(What::Target { credential: "a".into() });
    it.edits(|target| (target["data"], target["metadata"]) = (first["data"].clone(), first["metadata"].clone()));
    it.stores("first");
    assert_kept(&it);
    // The same one once more is a repair.
    let mut it = honest();
    it.at(2850).edits(|target| target["metadata"]["labels"]["foreign"] = "true".into()).stores("fourth");
    assert_kept(&it);
}

/// A CREATE of the first token that the gate received at 50, and that took effect at `committed`.
fn held_create(committed: i64) -> Forge {
    let mut it = Forge::new();
    it.at(40).asks("first").at(50).did(What::Paused { replica: 0 });
    it.replica = 1;
    it.at(90).asks("second").stores("second").says("True", "TokenValid");
    it.at(100).deletes_target();
    it.replica = 0;
    it.at(committed).stores("first");
    it.last_call().received = second(50);
    it
}

#[test]
fn a_create_that_the_wire_held_back_is_counted_and_no_violation() {
    let report = held_create(110).judged();
    assert_eq!((report.violations, report.late_creates), (Vec::<String>::new(), 1));
    // Its token has ended, too: one late create.
    let report = held_create(4000).judged();
    assert_eq!((report.violations, report.late_creates), (Vec::<String>::new(), 1));
    // Received after the newer token was stored, it is no matter of the wire.
    let mut it = held_create(110);
    it.last_call().received = second(95);
    assert_broken(&it, "I3", "older exchange");
}

#[test]
fn a_token_that_had_ended_when_it_was_written_is_noticed() {
    let mut it = Forge::new();
    it.asks("first").at(3601).did(What::Resumed { replica: 0 }).stores("first");
    assert_broken(&it, "I4", "had ended");
    // A repair that mentions no time leaves the one that stands there.
    let mut it = honest();
    it.at(2850).edits(|target| target["metadata"]["labels"]["foreign"] = "true".into());
    it.at(7000).stores("fourth");
    let annotations = it.last_call().body["metadata"].as_object_mut().unwrap();
    annotations.remove("annotations");
    assert_broken(&it, "I4", "had ended");
    let mut it = Forge::new();
    it.asks("first").at(3601).stores("first");
    it.last_call().received = second(3599);
    let report = it.judged();
    assert_eq!((report.violations, report.late_creates), (Vec::<String>::new(), 1));
}

#[test]
fn a_token_beside_the_times_or_the_fingerprint_of_another_is_noticed() {
    for name in ["issued-at", "expires-at", "fingerprint"] {
        let mut it = honest();
        let mut versions = it.history.versions.iter_mut().filter(|version| version.name == TARGET);
        let name = format!("apicredential.io/{name}");
        let before = versions.next().unwrap().object["metadata"]["annotations"][&name].clone();
        versions.next().unwrap().object["metadata"]["annotations"][&name] = before;
        let violations = it.judged().violations;
        assert!(violations.iter().any(|it| it.starts_with("I8: ")), "{name}: {violations:#?}");
    }
}

#[test]
fn times_that_change_beside_a_token_are_noticed_unless_a_person_did_it() {
    let edited = |deed: bool| {
        let mut it = honest();
        it.at(2850);
        if deed {
            it.did(What::Target { credential: "a".into() });
        }
        it.edits(|target| {
            let later = second(99_999).to_string();
            target["metadata"]["annotations"]["apicredential.io/expires-at"] = later.into();
        });
        it
    };
    assert_broken(&edited(false), "I8", "not those it came with");
    assert_kept(&edited(true));
}

#[test]
fn a_token_that_is_said_to_live_longer_or_to_be_issued_later_than_it_was_is_noticed() {
    let mut it = honest();
    let third = &mut it.history.exchanges[3];
    third.expires = third.expires.map(|expires| expires - Duration::from_secs(60));
    assert_broken(&it, "I8", "live longer");
    let mut it = honest();
    it.at(2850).source("three").asks("fifth").at(2870).stores("fifth");
    it.history.exchanges.last_mut().unwrap().at -= Duration::from_secs(1);
    let violations = it.judged().violations;
    assert!(violations.iter().any(|it| it.starts_with("I8: ") && it.contains("issued after")), "{violations:#?}");
}

#[test]
fn the_same_token_issued_once_more_counts_from_then() {
    let mut it = Forge::new();
    it.syncs("same").at(100).source("two").asks("same");
    // As a provider that hands out a living token again does.
    let first = it.history.exchanges.remove(0);
    it.stores("same");
    it.history.exchanges.insert(0, first);
    assert_kept(&it);
}
