//! How often a failing provider gets requests: five attempts and then rarely, or again and again at growing intervals.

use apicredential::api::Provider::{Qontak, Welkin};
use apicredential::revision::Revision;
use jiff::SignedDuration;

use crate::hostile::{self, FIRST, SECOND};
use crate::support::operator::Settings;
use crate::support::provider::{MockProvider, Reply};
use crate::support::space::{self, Space};

fn hasty(space: &Space, mock_provider: &MockProvider, retry_base: &str) -> Settings {
    hostile::patient(space, mock_provider).flag("--retry-base", retry_base)
}

#[tokio::test]
async fn a_rejected_login_is_tried_five_times_and_then_rarely() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = hostile::client(&mock_provider, Welkin, "a");
    client.accept(SECOND);
    // 12 × 20 ms and so on up to the fifth attempt, then 720 × 20 ms: between 7.2 and 14.4 s.
    let _operator = hasty(&space, &mock_provider, "20ms").start().await;
    hostile::credential(&space, &mock_provider, &client, Welkin, "a").await;
    let failed = |count| move |credential: &_| hostile::status(credential).failed_attempts >= Some(count);
    let credential = space.wait_until("a", "five attempts have failed", failed(5)).await;
    assert_eq!(space::condition(&credential, "Stalled").as_deref(), Some("True/CredentialsRejected"));
    space.wait_until("a", "the sixth attempt has failed", failed(6)).await;
    let times: Vec<_> = client.requests().into_iter().map(|request| request.at).collect();
    assert!(times.len() >= 6);
    let pause = times[5].duration_since(times[4]);
    assert!(pause >= SignedDuration::from_millis(7200), "{pause}");

    hostile::source(&space, Welkin, "a", SECOND).await;
    let credential = space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(hostile::status(&credential).failed_attempts, Some(0));
    let secrets: Vec<_> = client.requests().into_iter().map(|request| request.secret).collect();
    assert_eq!(secrets[..6], [FIRST; 6]);
    assert_eq!(secrets.last().map(String::as_str), Some(SECOND));
    assert_eq!(secrets.iter().filter(|secret| *secret == SECOND).count(), 1);
    space.assert_no_leaks(&hostile::sentinels()).await;
}

#[tokio::test]
async fn a_failing_attempt_reports_the_same_each_time() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = hostile::client(&mock_provider, Welkin, "a");
    client.always(Reply::error(503));
    let _operator = hasty(&space, &mock_provider, "20ms").start().await;
    hostile::credential(&space, &mock_provider, &client, Welkin, "a").await;
    let failed = |count| move |credential: &_| hostile::status(credential).failed_attempts >= Some(count);
    let first = space.wait_until("a", "an attempt has failed", failed(1)).await;
    let later = space.wait_until("a", "some more have failed", failed(4)).await;
    for type_ in ["Ready", "Renewed", "Reconciling"] {
        assert!(space::message(&first, type_).is_some());
        assert_eq!(space::message(&first, type_), space::message(&later, type_), "{type_}");
    }
}

#[tokio::test]
async fn new_source_values_reset_the_count_of_failures() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = hostile::client(&mock_provider, Welkin, "a");
    client.always(Reply::error(401));
    let _operator = hasty(&space, &mock_provider, "5m").start().await;
    hostile::credential(&space, &mock_provider, &client, Welkin, "a").await;
    space.wait_condition("a", "Ready", "False/CredentialsRejected").await;
    for (count, secret) in [(2, "second-wrong-one"), (3, "third-wrong-one")] {
        let source = space.source_welkin("a-source", secret).await;
        let version = Revision::of(&source);
        space.wait_for("the next attempt", async || (client.count() == count).then_some(())).await;
        let reported = space.wait_until("a", "its end", |credential| {
            hostile::status(credential).last_attempt.is_some_and(|last| last.source.revision() == version)
        });
        assert_eq!(hostile::status(&reported.await).failed_attempts, Some(1), "{secret}");
    }
    // The same values in another version of the Secret are no change.
    space.patch_secret("a-source", &serde_json::json!({"metadata": {"labels": {"touched": "yes"}}})).await;
    let other = hostile::client(&mock_provider, Welkin, "marker");
    hostile::credential(&space, &mock_provider, &other, Welkin, "marker").await;
    space.wait_condition("marker", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 3);
}

#[tokio::test]
async fn a_failing_provider_gets_requests_at_growing_intervals_until_it_recovers() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let (transient, unusable) =
        (hostile::client(&mock_provider, Qontak, "a"), hostile::client(&mock_provider, Qontak, "b"));
    transient.always(Reply::error(500));
    unusable.always(Reply::raw(200, "[]"));
    let _operator = hasty(&space, &mock_provider, "100ms").start().await;
    hostile::credential(&space, &mock_provider, &transient, Qontak, "a").await;
    hostile::credential(&space, &mock_provider, &unusable, Qontak, "b").await;
    // Transient: 1, 2, 4, 8 and 16 × 100 ms; unusable: 12, 24 × 100 ms; each at least half of that.
    for (name, client, count, least) in [("a", &transient, 6, 800), ("b", &unusable, 3, 1200)] {
        space
            .wait_until(name, "some attempts have failed", |credential| {
                hostile::status(credential).failed_attempts >= Some(count)
            })
            .await;
        let requests = client.requests();
        let count = usize::try_from(count).unwrap();
        let pause = requests[count - 1].at.duration_since(requests[count - 2].at);
        assert!(pause >= SignedDuration::from_millis(least), "{name}: {pause}");
        client.always(hostile::token(Qontak));
        let credential = space.wait_condition(name, "Ready", "True/TokenValid").await;
        let status = hostile::status(&credential);
        assert_eq!((status.failed_attempts, status.next_attempt_time), (Some(0), None), "{name}");
        let count = client.count();
        let good = client.requests().iter().filter(|request| request.token.is_some()).count();
        assert_eq!((good, status.revision), (1, Some(1)), "{name}: {count} requests");
    }
}
