//! Random walks through valid and invalid specs, sources and targets: after each step the state of the cluster equals
//! that of a small model, and a good spec at the end restores Ready without further help.
//!
//! The steps are the same for the same seed: `WALK_SEED=… WALK_STEPS=… cargo test --test cluster spec_walk -- --include-ignored`.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::operator::{Operator, Settings};
use crate::support::provider::{Client, MockProvider};
use crate::support::random::Dice;
use crate::support::space::{self, Space, annotation, condition, observed};

const STEPS: u64 = 24;

#[tokio::test]
async fn the_cluster_matches_the_spec_after_each_of_some_steps() {
    let walks = [(1, "Owner"), (2, "Merge")].map(|(seed, policy)| walk(seed, STEPS, policy));
    futures::future::join_all(walks).await;
}

#[tokio::test]
#[ignore = "torture: WALK_STEPS steps"]
async fn the_cluster_matches_the_spec_after_each_of_many_steps() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("WALK_SEED").unwrap_or_else(|| u64::from_le_bytes(crate::support::random::bytes()) >> 16);
    let steps = number("WALK_STEPS").unwrap_or(150);
    println!("WALK_SEED={seed} WALK_STEPS={steps} does it again");
    let walks = (0..8).map(|walker| walk(seed + walker, steps, if walker % 2 == 0 { "Owner" } else { "Merge" }));
    futures::future::join_all(walks).await;
    println!("spec walk: {} steps in 8 walks, each as in the model", 8 * (steps + 1));
}

async fn walk(seed: u64, steps: u64, policy: &'static str) {
    let mut walker = Walker::new(seed, policy).await;
    for step in 0..steps {
        let what = walker.step().await;
        walker.arrive(&format!("seed {seed}, step {step}: {what}")).await;
    }
    walker.return_to_a_good_spec().await;
    walker.arrive(&format!("seed {seed}, back to a good spec")).await;
    walker.has_settled().await;
}

/// The parts of the spec that make a difference.
#[derive(Clone, Debug, PartialEq)]
struct Spec {
    tenant: &'static str,
    source: &'static str,
    endpoint_allowed: bool,
    suspended: bool,
    renewal: Value,
    rendering: Rendering,
}

/// How the token is written.
#[derive(Clone, Debug, PartialEq)]
struct Rendering {
    token_key: &'static str,
    data: Value,
    label: Option<&'static str>,
}

/// The model: the spec, and what the Secret must contain.
struct Walker {
    // Stopped before its namespace is deleted.
    _operator: Operator,
    space: Space,
    mock_provider: MockProvider,
    client: Client,
    dice: Dice,
    policy: &'static str,
    spec: Spec,
    /// The value in the good source, and whether that source permits its use.
    value: u64,
    permitted: bool,
    /// Tenant and value of the token in the Secret; `None` if it has none of ours.
    token: Option<(&'static str, u64)>,
    rendered: Option<Rendering>,
    foreign: bool,
    exchanges: usize,
    /// Each step with its expected result, for the message of a failure.
    steps: Vec<String>,
}

const GOOD: &str = "good";
/// Sources that cannot be used, and the reason of each.
const BAD: [(&str, &str); 4] = [
    ("missing", "SourceSecretNotFound"),
    ("unlabelled", "SourceNotPermitted"),
    ("spaced", "SourceHasWhitespace"),
    ("empty", "SourceKeyEmpty"),
];

impl Walker {
    async fn new(seed: u64, policy: &'static str) -> Self {
        let (space, mock_provider) = (Space::new().await, MockProvider::start());
        let client = mock_provider.welkin(&space.unique("walker"));
        let settings = Settings::new(&space, &mock_provider).flag("--retry-base", "100ms").flag("--resync", "1h");
        let settings = settings.flag("--allowed-target-metadata", "colour");
        space.source("unlabelled", None, &[("secret", "a secret without consent")]).await;
        space.source("spaced", Some("welkin"), &[("secret", "a secret with an end \n")]).await;
        space.source("empty", Some("welkin"), &[("secret", "")]).await;
        if policy == "Merge" {
            let allow = json!({"apicredential.io/allow": "a:token,access,authorization,header,expires"});
            let metadata = json!({"name": "a-token", "annotations": allow});
            space.apply_secret(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})).await;
        }
        let mut walker = Self {
            _operator: settings.start().await,
            spec: home(),
            space,
            mock_provider,
            client,
            dice: Dice::new(seed),
            policy,
            value: 0,
            permitted: true,
            token: None,
            rendered: None,
            foreign: false,
            exchanges: 0,
            steps: Vec::new(),
        };
        walker.write_source().await;
        walker.write_spec().await;
        walker.arrive(&format!("seed {seed}, the beginning")).await;
        walker
    }

    /// Takes one random step. Returns its description.
    async fn step(&mut self) -> String {
        let before = self.spec.clone();
        match self.dice.below(12) {
            0 => self.spec.tenant = self.one_of(&["gh", "second", "third"]),
            1 => {
                self.spec.renewal = self.one_of(&[json!(null), json!({"renewBefore": "5m"}), json!({"maxAge": "24h"})]);
            }
            2 => self.spec.rendering.data = self.one_of(&[json!(null), bearer(), times()]),
            3 => self.spec.rendering.token_key = self.one_of(&["token", "access"]),
            4 if self.policy == "Owner" => self.spec.rendering.label = self.one_of(&[None, Some("red"), Some("blue")]),
            5 => self.spec.suspended = !self.spec.suspended,
            6 => self.spec.endpoint_allowed = !self.spec.endpoint_allowed,
            7 => self.spec.source = self.one_of(&[GOOD, GOOD, BAD[0].0, BAD[1].0, BAD[2].0, BAD[3].0]),
            8 => return self.change_the_source().await,
            9 => return self.touch_the_target().await,
            _ => return self.apply_invalid_spec().await,
        }
        self.write_spec().await;
        format!("{before:?} becomes {:?}", self.spec)
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.dice.below(choices.len())].clone()
    }

    async fn change_the_source(&mut self) -> String {
        match self.dice.below(3) {
            0 => self.permitted = !self.permitted,
            1 => self.value += 1,
            // The same once more: another version with the same values.
            _ => {}
        }
        self.write_source().await;
        format!("the source has value {}, permitted: {}", self.value, self.permitted)
    }

    async fn touch_the_target(&mut self) -> String {
        let Some(rendered) = self.rendered.clone() else { return "nothing to touch".to_owned() };
        match self.dice.below(3) {
            0 if self.policy == "Owner" => {
                self.space.delete_secret("a-token").await;
                (self.token, self.rendered, self.foreign) = (None, None, false);
                "the target is deleted".to_owned()
            }
            1 => {
                self.space.patch_secret("a-token", &json!({"stringData": {rendered.token_key: "edited"}})).await;
                self.token = None;
                "the token is edited".to_owned()
            }
            _ => {
                self.space.patch_secret("a-token", &json!({"stringData": {"foreign": "stays"}})).await;
                self.foreign = true;
                "another client adds a key".to_owned()
            }
        }
    }

    /// Specs that the API server rejects, so that nothing changes.
    async fn apply_invalid_spec(&mut self) -> String {
        let nonsense = [
            json!({"provider": {"welkin": {"tenant": "a/b"}}}),
            json!({"target": {"data": {"a": "{unknown}"}}}),
            json!({"target": {"name": "another"}}),
            json!({"renewal": {"renewBefore": "5m", "renewBeforePercentage": 20}}),
            json!({"target": {"data": {self.spec.rendering.token_key: "x"}}}),
            json!({"provider": {"qontak": {"secretRef": {"name": "q"}}}}),
        ];
        let nonsense = self.one_of(&nonsense);
        let patch = kube::api::Patch::Merge(json!({"spec": nonsense}));
        let refused = self.space.credentials.patch("a", &kube::api::PatchParams::default(), &patch).await;
        assert!(refused.is_err(), "{nonsense}");
        format!("{nonsense} is refused")
    }

    async fn return_to_a_good_spec(&mut self) {
        self.spec = home();
        self.permitted = true;
        // The consent comes last: before the spec it would permit an exchange for the spec of the step before.
        self.write_spec().await;
        self.write_source().await;
    }

    async fn write_source(&self) {
        let label = self.permitted.then_some("welkin");
        self.space.source(GOOD, label, &[("secret", &secret(self.value))]).await;
    }

    async fn write_spec(&self) {
        let mut manifest = space::welkin("a", &self.client, &self.mock_provider);
        let spec = &mut manifest["spec"];
        spec["provider"]["welkin"]["tenant"] = json!(self.spec.tenant);
        spec["provider"]["welkin"]["secretRef"]["name"] = json!(self.spec.source);
        if !self.spec.endpoint_allowed {
            spec["provider"]["welkin"]["endpoint"] = json!("https://elsewhere.example");
        }
        spec["suspend"] = json!(self.spec.suspended);
        spec["target"]["creationPolicy"] = json!(self.policy);
        spec["target"]["tokenKey"] = json!(self.spec.rendering.token_key);
        for (place, value) in [("/target/data", &self.spec.rendering.data), ("/renewal", &self.spec.renewal)] {
            let (parent, name) = place.rsplit_once('/').unwrap();
            if !value.is_null() {
                spec.pointer_mut(parent).unwrap()[name] = value.clone();
            }
        }
        if let Some(label) = self.spec.rendering.label {
            spec["target"]["metadata"] = json!({"labels": {"colour": label}});
        }
        self.space.apply(&manifest).await;
    }

    /// Applies to the model what the operator has to do, and waits until the operator has done it.
    async fn arrive(&mut self, what: &str) {
        let ready = self.follow();
        self.steps.push(format!("{what} -> {ready}, {} exchanges", self.exchanges));
        self.space.wait_for(&format!("{ready} after {what}"), async || self.is_there(ready).await.then_some(())).await;
    }

    /// The model's step: the content of the Secret, the number of exchanges, and the condition Ready.
    fn follow(&mut self) -> &'static str {
        // A token belongs to the source Secret that it was made from, which is always the good one.
        let fits = |token: Option<(&str, u64)>| {
            self.spec.source == GOOD && token.is_some_and(|(tenant, _)| tenant == self.spec.tenant)
        };
        let usable = fits(self.token) && self.spec.endpoint_allowed;
        if self.spec.suspended {
            return if usable { "True/TokenValid" } else { "False/Suspended" };
        }
        if !self.spec.endpoint_allowed {
            return "False/EndpointNotAllowed";
        }
        if usable {
            self.rendered = Some(self.spec.rendering.clone());
        }
        if let Some(refusal) = self.source_refusal() {
            return if usable { "True/RenewalFailing" } else { refusal };
        }
        if self.token != Some((self.spec.tenant, self.value)) {
            self.exchanges += 1;
            self.token = Some((self.spec.tenant, self.value));
            self.rendered = Some(self.spec.rendering.clone());
        }
        "True/TokenValid"
    }

    fn source_refusal(&self) -> Option<&'static str> {
        match self.spec.source {
            GOOD if self.permitted => None,
            GOOD | "unlabelled" => Some("False/SourceNotPermitted"),
            "missing" => Some("False/SourceSecretNotFound"),
            "spaced" => Some("False/SourceHasWhitespace"),
            _ => Some("False/SourceKeyEmpty"),
        }
    }

    async fn is_there(&self, ready: &str) -> bool {
        let credential = self.space.credential("a").await;
        let (found, steps) = (self.client.count(), &self.steps);
        assert!(found <= self.exchanges, "{found} exchanges, not {}, after {steps:#?}", self.exchanges);
        observed(&credential)
            && condition(&credential, "Ready").as_deref() == Some(ready)
            && self.client.count() == self.exchanges
            && self.secret_matches().await
    }

    /// Exactly the keys that are wanted, and what others added.
    async fn secret_matches(&self) -> bool {
        let secret = self.space.secret("a-token").await;
        let (Some(rendered), Some(_)) = (&self.rendered, self.token) else {
            // Edited, deleted or not created yet: its content is not specified.
            return true;
        };
        let Some(secret) = secret else { return false };
        let token = self.client.last_token().unwrap_or_default();
        let mut wanted = BTreeMap::from([(rendered.token_key.to_owned(), token.clone())]);
        for (key, template) in rendered.data.as_object().into_iter().flatten() {
            let expires = annotation(&secret, "expires-at").unwrap_or_default();
            let text =
                template.as_str().unwrap_or_default().replace("{token}", &token).replace("{expiresAt}", &expires);
            wanted.insert(key.clone(), text.replace("{{", "{"));
        }
        if self.foreign {
            wanted.insert("foreign".to_owned(), "stays".to_owned());
        }
        let data = secret.data.clone().unwrap_or_default();
        let found: BTreeMap<String, String> =
            data.into_iter().map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned())).collect();
        found == wanted && secret.labels().get("colour").map(String::as_str) == rendered.label
    }

    /// Nothing more is written once everything is as it should be.
    async fn has_settled(&self) {
        let writes = async || self.space.audit().await.by("operator").without("leases").writes();
        // The event follows the status.
        let mut seen = writes().await;
        let calm = async || {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            let now = writes().await;
            (std::mem::replace(&mut seen, now) == now).then_some(())
        };
        self.space.wait_for("the writes end", calm).await;
    }
}

fn home() -> Spec {
    let rendering = Rendering { token_key: "token", data: Value::Null, label: None };
    Spec { tenant: "gh", source: GOOD, endpoint_allowed: true, suspended: false, renewal: Value::Null, rendering }
}

fn secret(value: u64) -> String {
    format!("the secret of value {value}")
}

fn bearer() -> Value {
    json!({"authorization": "Bearer {token}"})
}

fn times() -> Value {
    json!({"header": "{{x} {token}", "expires": "{expiresAt}"})
}
