//! A source Secret that cannot be used: each problem has its reason, costs no request, and its repair is detected.

use serde_json::{Value, json};

use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space, condition, message};

const SECRET: &str = "the-right-secret";

/// The problem of a source, its reason and message, and how a user fixes it.
struct Case {
    name: &'static str,
    source: Option<Value>,
    reason: &'static str,
    says: &'static str,
    fix: Fix,
}

enum Fix {
    /// By changing the Secret.
    Patch(Value),
    /// By a new Secret, because a type cannot be changed.
    Replace,
    /// By the kubectl command of the message.
    Follow,
}

fn source(name: &str, label: Option<&str>, type_: &str, data: &Value) -> Value {
    let labels = label.map_or(json!({}), |label| json!({"apicredential.io/source": label}));
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": type_,
        "metadata": {"name": format!("{name}-source"), "labels": labels},
        "stringData": data,
    })
}

fn good(name: &str) -> Value {
    source(name, Some("welkin"), "Opaque", &json!({"secret": SECRET}))
}

fn cases() -> Vec<Case> {
    let case = |name, source, reason, says, fix| Case { name, source, reason, says, fix };
    let data = |name, reason, says, wrong: &Value| {
        let fix = Fix::Patch(json!({"stringData": {"secret": SECRET}}));
        case(name, Some(source(name, Some("welkin"), "Opaque", wrong)), reason, says, fix)
    };
    let typed = |name, type_, mut data: Value| {
        data["secret"] = json!(SECRET);
        let wrong = source(name, Some("welkin"), type_, &data);
        case(name, Some(wrong), "SourceTypeForbidden", "type", Fix::Replace)
    };
    let label = |name, label| {
        let wrong = source(name, label, "Opaque", &json!({"secret": SECRET}));
        case(name, Some(wrong), "SourceNotPermitted", "permit", Fix::Follow)
    };
    let mut not_utf8 = source("not-utf8", Some("welkin"), "Opaque", &json!({}));
    not_utf8["data"] = json!({"secret": "//79"});
    let mut ours = good("ours");
    ours["metadata"]["labels"]["apicredential.io/managed"] = json!("true");
    let too_large = "x".repeat(4097);
    let mut cases = vec![
        case("missing", None, "SourceSecretNotFound", "\"missing-source\"", Fix::Replace),
        data("key-missing", "SourceKeyMissing", "\"secret\"", &json!({"password": SECRET})),
        data("empty", "SourceKeyEmpty", "\"secret\"", &json!({"secret": ""})),
        data("newline", "SourceHasWhitespace", "a newline (U+000A)", &json!({"secret": format!("{SECRET}\n")})),
        data("space", "SourceHasWhitespace", "a space (U+0020)", &json!({"secret": format!(" {SECRET}")})),
        data("large", "SourceTooLarge", "4096 bytes", &json!({"secret": too_large})),
        case(
            "not-utf8",
            Some(not_utf8),
            "SourceNotUtf8",
            "UTF-8",
            Fix::Patch(json!({"stringData": {"secret": SECRET}})),
        ),
        label("unlabelled", None),
        label("mislabelled", Some("qontak")),
        label("wrong-case", Some("Welkin")),
        typed("tls", "kubernetes.io/tls", json!({"tls.crt": "", "tls.key": ""})),
        typed("ssh", "kubernetes.io/ssh-auth", json!({"ssh-privatekey": "k"})),
        typed("bootstrap", "bootstrap.kubernetes.io/token", json!({})),
        typed("helm", "helm.sh/release.v1", json!({})),
        case("ours", Some(ours), "SourceTypeForbidden", "", Fix::Replace),
    ];
    for (before, after, character, says) in [
        ("bom-first", "bom-last", '\u{feff}', "a byte order mark (U+FEFF)"),
        ("nbsp-first", "nbsp-last", '\u{a0}', "a no-break space (U+00A0)"),
        ("zwsp-first", "zwsp-last", '\u{200b}', "a zero-width space (U+200B)"),
        ("nul-first", "nul-last", '\0', "a NUL character (U+0000)"),
        ("vt-first", "vt-last", '\u{b}', "a vertical tab (U+000B)"),
    ] {
        cases.push(data(before, "SourceHasWhitespace", says, &json!({"secret": format!("{character}{SECRET}")})));
        cases.push(data(after, "SourceHasWhitespace", says, &json!({"secret": format!("{SECRET}{character}")})));
    }
    cases
}

#[tokio::test]
async fn a_source_that_cannot_be_used_is_named_costs_no_request_and_is_used_once_it_is_fixed() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let cases = cases();
    let client = |case: &Case| mock_provider.welkin(&space.unique(case.name));
    for case in &cases {
        client(case).accept(SECRET);
        if let Some(source) = &case.source {
            space.apply_secret(source).await;
        }
        space.apply(&space::welkin(case.name, &client(case), &mock_provider)).await;
    }
    for case in &cases {
        let reported = space.wait_condition(case.name, "Ready", &format!("False/{}", case.reason)).await;
        for type_ in ["SourceResolved", "Renewed"] {
            assert_eq!(condition(&reported, type_), Some(format!("False/{}", case.reason)), "{}: {type_}", case.name);
        }
        assert_eq!(condition(&reported, "Stalled"), Some(format!("True/{}", case.reason)), "{}", case.name);
        let says = message(&reported, "SourceResolved").unwrap();
        assert!(says.contains(case.says), "{}: {says}", case.name);
        let events = space.wait_events(case.name, 1).await;
        assert_eq!(events, [("Warning".to_owned(), case.reason.to_owned(), says)], "{}", case.name);
    }
    assert_eq!(mock_provider.total(), 0);
    assert_eq!(space.wait_event_writes(cases.len()).await, cases.len(), "one event each, reported once");

    for case in &cases {
        let name = format!("{}-source", case.name);
        match &case.fix {
            Fix::Patch(patch) => drop(space.patch_secret(&name, patch).await),
            Fix::Replace => {
                if case.source.is_some() {
                    space.delete_secret(&name).await;
                }
                space.apply_secret(&good(case.name)).await;
            }
            Fix::Follow => {
                let reported = space.credential(case.name).await;
                space.follow_kubectl(&message(&reported, "SourceResolved").unwrap()).await;
            }
        }
    }
    for case in &cases {
        let reported = space.wait_condition(case.name, "Ready", "True/TokenValid").await;
        assert_eq!(condition(&reported, "SourceResolved").as_deref(), Some("True/SourceResolved"), "{}", case.name);
        assert_eq!(condition(&reported, "Stalled"), None, "{}", case.name);
        assert_eq!(client(case).count(), 1, "{}", case.name);
    }
}

#[tokio::test]
async fn a_basic_auth_secret_can_be_a_source() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let user = mock_provider.qontak(&space.unique("u"));
    user.accept("a-password");
    let data = json!({"username": user.name(), "password": "a-password"});
    space.apply_secret(&source("q", Some("qontak"), "kubernetes.io/basic-auth", &data)).await;
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    space.apply(&space::qontak("q", &mock_provider)).await;
    space.wait_condition("q", "Ready", "True/TokenValid").await;
    assert_eq!(user.count(), 1);
}

#[tokio::test]
async fn a_qontak_source_may_name_its_keys_and_bring_its_own_oauth_client() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let user = mock_provider.qontak(&space.unique("u"));
    user.accept("a-password-of-theirs").accept_oauth_client("an-id-of-theirs", "a-client-secret-of-theirs");
    let values =
        [("user", user.name()), ("pass", "a-password-of-theirs"), ("id", ""), ("sec", "a-client-secret-of-theirs")];
    space.source("q-source", Some("qontak"), &values).await;
    let consent = json!({"metadata": {"annotations": {"apicredential.io/source-keys": "user,pass,secret,id,sec"}}});
    space.patch_secret("q-source", &consent).await;
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let mut manifest = space::qontak("q", &mock_provider);
    manifest["spec"]["provider"]["qontak"]["keys"] =
        json!({"username": "user", "password": "secret", "clientId": "id", "clientSecret": "sec"});
    space.apply(&manifest).await;
    let reported = space.wait_condition("q", "Ready", "False/SourceKeyMissing").await;
    assert!(message(&reported, "Ready").unwrap().contains("\"secret\""));
    assert!(message(&reported, "Ready").unwrap().contains("spec.provider.qontak.keys.password"));
    manifest["spec"]["provider"]["qontak"]["keys"]["password"] = json!("pass");
    space.apply(&manifest).await;
    let reported = space.wait_condition("q", "Ready", "False/SourceKeyEmpty").await;
    assert!(message(&reported, "Ready").unwrap().contains("\"id\""));
    assert_eq!(user.count(), 0);
    space.patch_secret("q-source", &json!({"stringData": {"id": "an-id-of-theirs"}})).await;
    space.wait_condition("q", "Ready", "True/TokenValid").await;
    assert_eq!(user.count(), 1);
}

/// A Secret that holds more than a login, and an author who may not read it.
#[tokio::test]
async fn a_key_that_the_owner_did_not_name_is_never_sent() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let (client, user) = (mock_provider.welkin(&space.unique("c")), mock_provider.qontak(&space.unique("u")));
    user.accept("a-password-of-theirs");
    client.accept("a-secret-of-theirs");
    let values = [("username", user.name()), ("password", "a-password-of-theirs"), ("ca.key", "nobody's business")];
    for name in ["other-source", "flipped-source", "half-source"] {
        space.source(name, Some("qontak"), &values).await;
    }
    let half = json!({"metadata": {"annotations": {"apicredential.io/source-keys": "username"}}});
    space.patch_secret("half-source", &half).await;
    space.source("key-source", Some("welkin"), &[("secret", "x"), ("key", "a-secret-of-theirs")]).await;
    space.source("unlabelled-source", None, &values).await;
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let with_keys = |name: &str, keys: Value| {
        let mut manifest = space::qontak(name, &mock_provider);
        manifest["spec"]["provider"]["qontak"]["keys"] = keys;
        manifest
    };
    let mut key = space::welkin("key", &client, &mock_provider);
    key["spec"]["provider"]["welkin"]["keys"] = json!({"secret": "key"});
    let manifests = [
        (with_keys("other", json!({"password": "ca.key"})), "source-keys=username,ca.key"),
        // The password as user name, which a provider logs.
        (
            with_keys("flipped", json!({"username": "password", "password": "username"})),
            "source-keys=password,username",
        ),
        (with_keys("half", json!({})), "source-keys=username,password"),
        (with_keys("unlabelled", json!({})), "apicredential.io/source=qontak"),
        // A key that does not exist: without consent nobody learns that.
        (with_keys("absent", json!({"password": "absent"})), "source-keys=username,absent"),
        (key, "source-keys=key"),
    ];
    space.source("absent-source", Some("qontak"), &values).await;
    for (manifest, _) in &manifests {
        space.apply(manifest).await;
    }
    for (manifest, line) in &manifests {
        let name = manifest["metadata"]["name"].as_str().unwrap();
        let reported = space.wait_condition(name, "Ready", "False/SourceNotPermitted").await;
        let says = message(&reported, "SourceResolved").unwrap();
        assert!(says.contains("kubectl -n ") && says.ends_with(line), "{name}: {says}");
    }
    assert_eq!((mock_provider.total(), mock_provider.connections()), (0, 0));

    // The owner consents by the line in the message.
    for name in ["half", "key"] {
        space.follow_kubectl(&message(&space.credential(name).await, "SourceResolved").unwrap()).await;
        space.wait_condition(name, "Ready", "True/TokenValid").await;
    }
    assert_eq!((client.count(), user.count()), (1, 1));
    // And withdraws it: the token stays in use, and is not renewed.
    space
        .patch_secret("key-source", &json!({"metadata": {"annotations": {"apicredential.io/source-keys": "secret"}}}))
        .await;
    space.wait_condition("key", "Ready", "True/RenewalFailing").await;
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn an_oauth_client_of_a_source_is_used_only_if_the_spec_names_its_keys_and_then_it_must_be_there() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let user = mock_provider.qontak(&space.unique("u"));
    user.accept("a-password");
    // The client is in the Secret, but no key is named for it: the one that the vendor publishes is used.
    let values = [
        ("username", user.name()),
        ("password", "a-password"),
        ("client_id", "an-unused-id"),
        ("client_secret", "an-unused-secret"),
    ];
    space.source("q-source", Some("qontak"), &values).await;
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    space.apply(&space::qontak("q", &mock_provider)).await;
    space.wait_condition("q", "Ready", "True/TokenValid").await;
    assert_eq!(user.count(), 1);
    let consent =
        json!({"metadata": {"annotations": {"apicredential.io/source-keys": "username,password,client_id,absent"}}});
    space.patch_secret("q-source", &consent).await;
    let keys = json!({"clientId": "client_id", "clientSecret": "absent"});
    space.patch("q", &json!({"spec": {"provider": {"qontak": {"keys": keys}}}})).await;
    let reported = space.wait_condition("q", "SourceResolved", "False/SourceKeyMissing").await;
    let says = message(&reported, "SourceResolved").unwrap();
    assert!(says.contains("\"absent\"") && says.contains("spec.provider.qontak.keys.clientSecret"), "{says}");
    assert_eq!(user.count(), 1);
}

#[tokio::test]
async fn a_secret_that_consents_to_one_vendor_is_never_sent_to_the_other() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let (client, user) = (mock_provider.welkin(&space.unique("c")), mock_provider.qontak(&space.unique("u")));
    let both = [("secret", "the-one-secret"), ("username", user.name()), ("password", "the-one-secret")];
    space.source("w-source", Some("qontak"), &both).await;
    space.source("q-source", Some("welkin"), &both).await;
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    space.apply(&space::welkin("w", &client, &mock_provider)).await;
    space.apply(&space::qontak("q", &mock_provider)).await;
    for (name, vendor) in [("w", "Welkin"), ("q", "Qontak")] {
        let reported = space.wait_condition(name, "Ready", "False/SourceNotPermitted").await;
        let says = message(&reported, "Ready").unwrap();
        assert!(says.contains(vendor), "{says}");
    }
    assert_eq!(mock_provider.total(), 0);
}

#[tokio::test]
async fn rejections_come_in_their_order_target_first_then_consent_type_and_keys() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = mock_provider.welkin(&space.unique("a"));
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    space.apply_secret(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a-token"}})).await;
    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    // The target is foreign, and the source does not exist either.
    let reported = space.wait_condition("a", "Ready", "False/TargetNotOwned").await;
    assert_eq!(condition(&reported, "SourceResolved"), None, "it was not read");
    space.delete_secret("a-token").await;
    space.wait_condition("a", "Ready", "False/SourceSecretNotFound").await;
    // No consent, a wrong type and no key.
    let helm = source("a", None, "helm.sh/release.v1", &json!({}));
    space.apply_secret(&helm).await;
    let reported = space.wait_condition("a", "Ready", "False/SourceNotPermitted").await;
    space.follow_kubectl(&message(&reported, "Ready").unwrap()).await;
    space.wait_condition("a", "Ready", "False/SourceTypeForbidden").await;
    space.delete_secret("a-source").await;
    space.apply_secret(&source("a", Some("welkin"), "Opaque", &json!({}))).await;
    space.wait_condition("a", "Ready", "False/SourceKeyMissing").await;
    assert_eq!(mock_provider.total(), 0);
    space.patch_secret("a-source", &json!({"stringData": {"secret": "any secret at all"}})).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 1);
    let issued = async || space.events_of("a").await.iter().any(|(_, reason, _)| reason == "Issued").then_some(());
    space.wait_for("the last event", issued).await;
    let reasons: Vec<String> = space.events_of("a").await.into_iter().map(|(_, reason, _)| reason).collect();
    for reason in ["TargetNotOwned", "SourceNotPermitted", "SourceTypeForbidden", "SourceKeyMissing", "Issued"] {
        assert_eq!(reasons.iter().filter(|known| *known == reason).count(), 1, "{reason} in {reasons:?}");
    }
}
