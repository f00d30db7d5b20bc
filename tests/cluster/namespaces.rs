//! `--namespaces`: one operator watches several namespaces and no others.

use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space};

#[tokio::test]
async fn every_listed_namespace_is_watched_and_no_other() {
    let mock_provider = MockProvider::start();
    let spaces = [Space::new().await, Space::new().await, Space::new().await];
    let mut clients = Vec::new();
    for space in &spaces {
        let client = mock_provider.welkin(&space.unique("c"));
        space.source_welkin("a-source", "a-secret").await;
        space.apply(&space::welkin("a", &client, &mock_provider)).await;
        clients.push(client);
    }
    let listed = format!("{},{}", spaces[0].name, spaces[1].name);
    let _operator = Settings::new(&spaces[0], &mock_provider).patient().flag("--namespaces", &listed).start().await;
    spaces[0].wait_ready("a").await;
    spaces[1].wait_ready("a").await;

    // Later changes have an effect, too: a deletion, and a source that is created.
    spaces[1].patch_secret("a-source", &serde_json::json!({"stringData": {"secret": "another-secret"}})).await;
    spaces[1].wait_until("a", "two exchanges", |a| a.status.as_ref().is_some_and(|s| s.revision == Some(2))).await;
    spaces[0].delete("a").await;
    spaces[0]
        .wait_for("the Secret to be collected", async || spaces[0].secret("a-token").await.is_none().then_some(()))
        .await;

    assert_eq!(clients[0].count(), 1);
    assert_eq!(clients[1].count(), 2);
    assert_eq!(clients[2].count(), 0, "the third namespace is not listed");
    assert!(spaces[2].secret("a-token").await.is_none());
}

/// Sharding: each shard has namespaces and a lease of its own, and its end does not affect the others.
#[tokio::test]
async fn shards_with_namespaces_and_leases_of_their_own_work_side_by_side() {
    let mock_provider = MockProvider::start();
    let spaces = [Space::new().await, Space::new().await];
    let mut clients = Vec::new();
    let mut shards = Vec::new();
    for space in &spaces {
        // Its lease is in the same namespace.
        shards.push(Settings::new(space, &mock_provider).patient().flag("--namespaces", &space.name).start().await);
    }
    for space in &spaces {
        let client = mock_provider.welkin(&space.unique("c"));
        space.source_welkin("a-source", "a-secret").await;
        space.apply(&space::welkin("a", &client, &mock_provider)).await;
        clients.push(client);
    }
    for (space, shard) in spaces.iter().zip(&shards) {
        space.wait_ready("a").await;
        let shown = async |of: &Space| {
            shard.metric(&format!(r#"apicredential_ready{{resource_namespace="{}",resource_name="a"}}"#, of.name)).await
        };
        for other in &spaces {
            assert_eq!(shown(other).await.is_some(), other.name == space.name, "each shows its own");
        }
        assert_eq!(shard.metric("apicredential_leader").await, Some(1.0), "both lead at once");
    }

    shards[0].kill();
    for space in &spaces {
        space.patch_secret("a-source", &serde_json::json!({"stringData": {"secret": "another-secret"}})).await;
    }
    spaces[1].wait_until("a", "two exchanges", |a| a.status.as_ref().is_some_and(|s| s.revision == Some(2))).await;
    assert_eq!(clients[0].count(), 1, "no other shard takes over for the one that is gone");
    assert_eq!(clients[1].count(), 2);
}
