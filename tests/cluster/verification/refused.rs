//! A provider that rejects the tokens that it issues: this is reported, and exchanges become ever rarer.

use super::stage::Stage;
use crate::fixture::content;
use crate::support::provider::Reply;
use crate::support::space::condition;

const INTERVAL: i64 = 5 * 60;

#[tokio::test]
async fn a_provider_that_rejects_every_token_is_reported_and_gets_ever_fewer_requests() {
    let stage = Stage::with_token("a").await;
    let user = stage.user("a");
    user.answer_checks(Reply::error(401));
    let operator = stage.start().await;
    stage.wait_revision("a", 2).await;
    operator.kill();
    // The second token is left in place for two intervals, the third for four. Each is verified meanwhile.
    let mut checks = 1;
    for (number, intervals) in [(2, 2), (3, 4)] {
        for passed in 1..=intervals {
            stage.pass("a", INTERVAL + INTERVAL / 10).await;
            let operator = stage.start().await;
            if passed < intervals {
                checks += 1;
                stage.wait_checks("a", checks).await;
                let said = stage.wait_verified("a", "False/TokenRevoked").await;
                stage.scene.trigger_reconciles("a", 2).await;
                assert_eq!(condition(&said, "Ready").as_deref(), Some("False/TokenRevoked"));
                assert_eq!(condition(&said, "Reconciling").as_deref(), Some("True/TokenRevoked"));
                assert_eq!(user.count(), number, "token {number} after {passed} intervals");
            } else {
                stage.wait_revision("a", i64::try_from(number).unwrap() + 1).await;
                stage.scene.trigger_reconciles("a", 2).await;
                assert_eq!(user.count(), number + 1);
            }
            operator.kill();
        }
    }
    // An accepted token ends the series: the next rejection is the first again.
    user.answer_checks_truly();
    stage.pass("a", INTERVAL + INTERVAL / 10).await;
    let operator = stage.start().await;
    let taken = stage.wait_verified("a", "True/TokenAccepted").await;
    assert_eq!(condition(&taken, "Ready").as_deref(), Some("True/TokenValid"));
    assert_eq!(taken.status.unwrap().verification.unwrap().refused_tokens, None);
    operator.kill();
    user.revoke_tokens();
    stage.pass("a", INTERVAL + INTERVAL / 10).await;
    let _operator = stage.start().await;
    stage.wait_revision("a", 5).await;
    assert_eq!(user.count(), 5);
}

#[tokio::test]
async fn a_rejected_token_that_is_issued_again_is_not_reported_as_a_new_one() {
    let stage = Stage::with_token("a").await;
    let user = stage.user("a");
    user.answer_checks(Reply::error(401)).reuse_tokens(true);
    let before = stage.scene.target("a").await;
    let operator = stage.start().await;
    let said = stage.scene.space.wait_condition("a", "Renewed", "False/TokenRevoked").await;
    assert_eq!(condition(&said, "Ready").as_deref(), Some("False/TokenRevoked"));
    assert_eq!(condition(&said, "Verified").as_deref(), Some("False/TokenRevoked"));
    assert_eq!(condition(&said, "Stalled").as_deref(), Some("True/TokenRevoked"));
    let status = said.status.unwrap();
    let wait = status.next_attempt_time.unwrap().0.as_second() - status.last_attempt.unwrap().time.0.as_second();
    assert!(wait >= INTERVAL + INTERVAL / 10, "{wait}");
    assert_eq!(content(&stage.scene.target("a").await), content(&before), "byte for byte");
    stage.scene.trigger_reconciles("a", 3).await;
    operator.kill();
    let operator = stage.start().await;
    stage.scene.trigger_reconciles("a", 3).await;
    assert_eq!((user.checks().len(), user.count()), (1, 2));

    // An accepted verification restores Ready without an exchange.
    operator.kill();
    user.answer_checks_truly();
    stage.pass("a", INTERVAL + INTERVAL / 10).await;
    let _operator = stage.start().await;
    let repaired = stage.wait_verified("a", "True/TokenAccepted").await;
    assert_eq!(condition(&repaired, "Ready").as_deref(), Some("True/TokenValid"));
    assert!(condition(&repaired, "Renewed").unwrap().starts_with("True/"));
    stage.scene.trigger_reconciles("a", 2).await;
    assert_eq!((user.checks().len(), user.count()), (2, 2));
}
