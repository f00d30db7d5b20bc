//! What a user does in a shell, and how long a test observes that the operator does nothing.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Map, Value, json};

use super::super::provider::{Client, MockProvider};
use super::Space;

impl Space {
    /// A Welkin source, a client that accepts it and an ApiCredential. Waits until its first token is there.
    pub async fn first_token(&self, name: &str, mock_provider: &MockProvider) -> Client {
        let client = mock_provider.welkin(&self.unique(name));
        client.accept("the-first-secret");
        self.source_welkin(&format!("{name}-source"), "the-first-secret").await;
        self.apply(&super::welkin(name, &client, mock_provider)).await;
        self.wait_condition(name, "Ready", "True/TokenValid").await;
        client
    }

    /// Deletes a Secret.
    pub async fn delete_secret(&self, name: &str) {
        drop(self.secrets.delete(name, &DeleteParams::default()).await.expect("the Secret can be deleted"));
    }

    /// Waits until the operator has read a Secret this many more times, so that it had as many chances to act.
    pub async fn wait_reads(&self, secret: &str, times: usize) {
        let reads = async || {
            let audit = self.audit().await.by("operator").to("secrets");
            audit.only(|call| call.verb == "get" && call.name == secret).calls().len()
        };
        let before = reads().await;
        self.wait_for(&format!("{times} more reads of {secret}"), async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            (reads().await >= before + times).then_some(())
        })
        .await;
    }

    /// Runs the kubectl command of a message as kubectl would: existing values are not overwritten unless the command
    /// says so.
    pub async fn follow_kubectl(&self, message: &str) {
        let (_, line) = message.split_once("kubectl ").unwrap_or_else(|| panic!("no kubectl line: {message}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        let (options, words): (Vec<&str>, Vec<&str>) = words.into_iter().partition(|word| word.starts_with("--"));
        let ["-n", namespace, verb, "secret", name, assignment] = words[..] else { panic!("not understood: {line}") };
        let place = match verb {
            "label" => "labels",
            "annotate" => "annotations",
            _ => panic!("not understood: {line}"),
        };
        assert_eq!(namespace, self.name, "{line}");
        let (key, value) = assignment.split_once('=').unwrap_or_else(|| panic!("not understood: {line}"));
        let secret = self.secret(name).await.unwrap_or_else(|| panic!("no such Secret: {line}"));
        let there = if verb == "label" { secret.labels().get(key) } else { secret.annotations().get(key) };
        assert!(there.is_none() || options.contains(&"--overwrite"), "kubectl would refuse this: {line}");
        let entry: Map<String, Value> = [(key.to_owned(), json!(value))].into_iter().collect();
        self.patch_secret(name, &json!({"metadata": {place: entry}})).await;
    }

    /// Waits until the audit log has this many writes of events, and returns their number.
    pub async fn wait_event_writes(&self, count: usize) -> usize {
        let enough = async || Some(self.event_writes().await).filter(|writes| *writes >= count);
        self.wait_for(&format!("{count} writes of events"), enough).await
    }

    /// How often the operator published an event about anything in this namespace, repetitions included.
    pub async fn event_writes(&self) -> usize {
        self.audit().await.by("operator").to("events").writes()
    }
}
