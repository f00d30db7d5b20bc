//! Ownership of the target Secret: a foreign Secret is never written, and two ApiCredentials never share one.

use apicredential::api::ApiCredential;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::operator::Settings;
use crate::support::provider::{Client, MockProvider};
use crate::support::space::{self, Space, condition, value};

#[tokio::test]
async fn a_foreign_secret_stays_byte_for_byte_over_twenty_edits_of_the_spec_and_costs_no_exchange() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = mock_provider.welkin(&space.unique("a"));
    space.source_welkin("a-source", "any secret at all").await;
    let foreign = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "a-token", "annotations": {
            "apicredential.io/owner": "a", "apicredential.io/allow": "a", "apicredential.io/keys": "token",
        }},
        "stringData": {"token": "of somebody else"},
    });
    let foreign = space.apply_secret(&foreign).await;
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    for percent in 20..40 {
        space.wait_condition("a", "Ready", "False/TargetNotOwned").await;
        space.patch("a", &json!({"spec": {"renewal": {"renewBeforePercentage": percent}}})).await;
    }
    let reported = space.wait_condition("a", "Ready", "False/TargetNotOwned").await;
    assert_eq!(condition(&reported, "Stalled").as_deref(), Some("True/TargetNotOwned"));
    assert_eq!(space.secret("a-token").await.unwrap(), foreign);
    assert_eq!(mock_provider.total(), 0);
    assert_eq!(space.wait_event_writes(1).await, 1, "reported once");
    let audit = space.audit().await.by("operator").to("secrets");
    assert_eq!(audit.writes(), 0, "not even dry: {audit}");

    space.delete_secret("a-token").await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(value(&space.secret("a-token").await.unwrap(), "token"), client.last_token());
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn a_secret_of_another_owner_is_not_taken_over() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = mock_provider.welkin(&space.unique("a"));
    let source = space.source_welkin("a-source", "any secret at all").await;
    // Its owner exists, so that no garbage collector removes it; its label is false.
    let owned = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": "a-token", "labels": {"apicredential.io/managed": "true"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Secret", "name": "a-source", "uid": source.uid(), "controller": true}],
        },
    });
    let owned = space.apply_secret(&owned).await;
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    space.wait_condition("a", "Ready", "False/TargetNotOwned").await;
    space.wait_reads("a-token", 3).await;
    assert_eq!(space.secret("a-token").await.unwrap(), owned);
    assert_eq!(mock_provider.total(), 0);
}

/// Two ApiCredentials with one source and one target.
fn rivals(space: &Space, mock_provider: &MockProvider, round: usize) -> [(String, Client, Value); 2] {
    ["a", "b"].map(|letter| {
        let name = format!("{letter}{round}");
        let client = mock_provider.welkin(&space.unique(&name));
        let mut manifest = space::welkin(&name, &client, mock_provider);
        manifest["spec"]["provider"]["welkin"]["secretRef"]["name"] = json!("source");
        manifest["spec"]["target"]["name"] = json!(format!("token{round}"));
        (name, client, manifest)
    })
}

/// Waits until one of them is ready and the other reports why it is not. Returns the winner's index, then the loser's.
async fn settled(space: &Space, names: [&str; 2]) -> [usize; 2] {
    space
        .wait_for(&format!("one of {names:?} wins"), async || {
            let [one, two] = [space.credential(names[0]).await, space.credential(names[1]).await];
            let is = |credential: &ApiCredential, state| condition(credential, "Ready").as_deref() == Some(state);
            let (ready, refused) = ("True/TokenValid", "False/TargetOwnedByOther");
            match (is(&one, ready), is(&two, refused), is(&two, ready), is(&one, refused)) {
                (true, true, ..) => Some([0, 1]),
                (.., true, true) => Some([1, 0]),
                _ => None,
            }
        })
        .await
}

#[tokio::test]
async fn two_apicredentials_created_at_once_for_one_secret_cost_one_exchange_and_the_loser_takes_over() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    space.source_welkin("source", "any secret at all").await;
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    for round in 0..5 {
        let [one, two] = rivals(&space, &mock_provider, round);
        tokio::join!(space.apply(&one.2), space.apply(&two.2));
        let [winner, loser] = settled(&space, [&one.0, &two.0]).await;
        let (winner, loser) = ([&one, &two][winner], [&one, &two][loser]);
        assert_eq!((winner.1.count(), loser.1.count()), (1, 0), "round {round}");
        let secret = space.secret(&format!("token{round}")).await.unwrap();
        assert_eq!(value(&secret, "token"), winner.1.last_token(), "round {round}");
        // The garbage collector deletes the winner's Secret with it, and only then the other can use the name.
        space.delete(&winner.0).await;
        space.wait_condition(&loser.0, "Ready", "True/TokenValid").await;
        let secret = space.secret(&format!("token{round}")).await.unwrap();
        assert_eq!(value(&secret, "token"), loser.1.last_token(), "round {round}");
        assert_eq!((winner.1.count(), loser.1.count()), (1, 1), "round {round}");
    }
}

#[tokio::test]
async fn of_those_that_exist_when_the_operator_starts_the_oldest_gets_the_secret() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    space.source_welkin("source", "any secret at all").await;
    let rounds: Vec<_> = (0..4).map(|round| rivals(&space, &mock_provider, round)).collect();
    let mut oldest = Vec::new();
    for [one, two] in &rounds {
        let (first, second) = tokio::join!(space.apply(&one.2), space.apply(&two.2));
        let age = |credential: &ApiCredential| (credential.creation_timestamp().unwrap().0, credential.uid().unwrap());
        oldest.push(usize::from(age(&second) < age(&first)));
    }
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    for ([one, two], oldest) in rounds.iter().zip(oldest) {
        let [winner, _] = settled(&space, [&one.0, &two.0]).await;
        assert_eq!(winner, oldest, "{} and {}", one.0, two.0);
        assert_eq!(one.1.count() + two.1.count(), 1);
    }
}
