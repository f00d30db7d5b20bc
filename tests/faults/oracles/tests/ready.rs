//! I5.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::forge::{Forge, assert_broken, assert_kept, honest};
use crate::history::What;
use crate::support::fault_proxy::ClientReply;

#[test]
fn ready_without_a_secret_is_noticed() {
    let mut it = honest();
    it.at(2850).deletes_target().reads().says("True", "TokenValid");
    assert_broken(&it, "I5", "no Secret");
    let mut it = honest();
    it.at(2850).deletes_target().reads().says("False", "Pending");
    assert_kept(&it);
}

#[test]
fn a_status_that_says_something_else_and_leaves_ready_as_it_was_counts() {
    let mut it = honest();
    it.at(2850).deletes_target().reads();
    let mut status = it.credential["status"].clone();
    status["failedAttempts"] = 1.into();
    it.tells(status);
    it.last_call().body["status"] = json!({"failedAttempts": 1});
    assert_broken(&it, "I5", "no Secret");
}

#[test]
fn ready_of_a_secret_that_is_foreign_dead_or_edited_is_noticed() {
    let mut it = honest();
    it.at(2850).edits(|target| target["metadata"]["ownerReferences"] = json!([])).reads().says("True", "TokenValid");
    assert_broken(&it, "I5", "not ours");
    let mut it = honest();
    it.at(7000).reads().says("True", "RenewalFailing");
    assert_broken(&it, "I5", "ended");
    let mut it = honest();
    it.at(2850).edits(|target| target["data"]["token"] = BASE64_STANDARD.encode("edited").into());
    it.reads().says("True", "TokenValid");
    assert_broken(&it, "I5", "no token that was issued");
}

#[test]
fn ready_of_a_token_of_another_spec_is_noticed() {
    let mut it = honest();
    it.at(2850).spec("tenant", "hg").reads().says("True", "TokenValid");
    assert_broken(&it, "I5", "not of the spec");
    // That the old spec was fulfilled may be said even when the next one is there.
    let mut it = honest();
    it.at(2850).spec("tenant", "hg").reads();
    let status = json!({"observedGeneration": 1, "conditions": it.credential["status"]["conditions"]});
    it.tells(status);
    assert_kept(&it);
}

#[test]
fn a_replica_that_has_looked_at_nothing_since_its_start_has_to_be_right_all_the_same() {
    let restarted = |deleted: bool| {
        let mut it = honest();
        it.at(2850).did(What::Ended { replica: 0 });
        if deleted {
            it.deletes_target();
        }
        it.did(What::Started { replica: 0 }).says("True", "RenewalFailing");
        it
    };
    assert_kept(&restarted(false));
    assert_broken(&restarted(true), "I5", "no Secret");
}

#[test]
fn what_a_replica_was_not_told_it_has_not_seen() {
    let looked = |reply: ClientReply, replica: usize| {
        let mut it = honest();
        it.at(2850).deletes_target();
        it.replica = replica;
        it.reads().last_call().reply = reply;
        it.replica = 0;
        it.says("True", "TokenValid");
        it
    };
    assert_kept(&looked(ClientReply::Replaced(500), 0));
    assert_kept(&looked(ClientReply::None, 0));
    assert_kept(&looked(ClientReply::FromServer, 1));
    assert_broken(&looked(ClientReply::FromServer, 0), "I5", "no Secret");
}

#[test]
fn what_was_answered_after_the_status_was_sent_does_not_count_for_it() {
    let mut it: Forge = honest();
    it.at(2850).deletes_target().reads();
    let number = it.history.calls.len() - 1;
    it.says("True", "TokenValid");
    let said = it.last_call().received;
    it.history.calls[number].committed = Some(said + std::time::Duration::from_millis(1));
    assert_kept(&it);
}
