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
    it.at(2850).deletes_target().reads().reports_ready("True", "TokenValid");
    assert_broken(&it, "I5", "no Secret");
    let mut it = honest();
    it.at(2850).deletes_target().reads().reports_ready("False", "Pending");
    assert_kept(&it);
}

#[test]
fn a_status_that_changes_something_else_and_leaves_ready_as_it_was_counts() {
    let mut it = honest();
    it.at(2850).deletes_target().reads();
    let mut status = it.credential["status"].clone();
    status["failedAttempts"] = 1.into();
    it.writes_status(status);
    it.last_call().body["status"] = json!({"failedAttempts": 1});
    assert_broken(&it, "I5", "no Secret");
}

#[test]
fn ready_of_a_secret_that_is_foreign_expired_or_edited_is_noticed() {
    let mut it = honest();
    it.at(2850)
        .edits(|target| target["metadata"]["ownerReferences"] = json!([]))
        .reads()
        .reports_ready("True", "TokenValid");
    assert_broken(&it, "I5", "not ours");
    let mut it = honest();
    it.at(7000).reads().reports_ready("True", "RenewalFailing");
    assert_broken(&it, "I5", "ended");
    let mut it = honest();
    it.at(2850).edits(|target| target["data"]["token"] = BASE64_STANDARD.encode("edited").into());
    it.reads().reports_ready("True", "TokenValid");
    assert_broken(&it, "I5", "no token that was issued");
}

#[test]
fn ready_of_a_token_of_another_spec_is_noticed() {
    let mut it = honest();
    it.at(2850).spec("tenant", "hg").reads().reports_ready("True", "TokenValid");
    assert_broken(&it, "I5", "not of the spec");
    // That the old spec was fulfilled may be reported even when the next one exists.
    let mut it = honest();
    it.at(2850).spec("tenant", "hg").reads();
    let status = json!({"observedGeneration": 1, "conditions": it.credential["status"]["conditions"]});
    it.writes_status(status);
    assert_kept(&it);
}

#[test]
fn a_replica_that_has_read_nothing_since_its_start_must_not_report_ready_wrongly() {
    let restarted = |deleted: bool| {
        let mut it = honest();
        it.at(2850).did(What::Ended { replica: 0 });
        if deleted {
            it.deletes_target();
        }
        it.did(What::Started { replica: 0 }).reports_ready("True", "RenewalFailing");
        it
    };
    assert_kept(&restarted(false));
    assert_broken(&restarted(true), "I5", "no Secret");
}

#[test]
fn a_replica_has_not_seen_what_it_did_not_receive() {
    let read_with = |reply: ClientReply, replica: usize| {
        let mut it = honest();
        it.at(2850).deletes_target();
        it.replica = replica;
        it.reads().last_call().reply = reply;
        it.replica = 0;
        it.reports_ready("True", "TokenValid");
        it
    };
    assert_kept(&read_with(ClientReply::Replaced(500), 0));
    assert_kept(&read_with(ClientReply::None, 0));
    assert_kept(&read_with(ClientReply::FromServer, 1));
    assert_broken(&read_with(ClientReply::FromServer, 0), "I5", "no Secret");
}

#[test]
fn a_response_after_the_status_was_sent_does_not_count_for_it() {
    let mut it: Forge = honest();
    it.at(2850).deletes_target().reads();
    let number = it.history.calls.len() - 1;
    it.reports_ready("True", "TokenValid");
    let said = it.last_call().received;
    it.history.calls[number].committed = Some(said + std::time::Duration::from_millis(1));
    assert_kept(&it);
}
