//! The rules of the CRD, each with manifests that pass and manifests that fail, as changes to a valid one.

use serde_json::{Value, json};

use super::changes::{metadata, provider, qontak, qontak_data, qontak_with, renewal, target, verification, welkin};

/// A rule on one object: the field and the message of the rejection, changes that pass, and changes that fail with it.
pub struct Row {
    pub field: &'static str,
    pub message: &'static str,
    pub passes: Vec<Value>,
    pub fails: Vec<Value>,
}

fn row(
    field: &'static str,
    message: &'static str,
    passes: impl IntoIterator<Item = Value>,
    fails: impl IntoIterator<Item = Value>,
) -> Row {
    Row { field, message, passes: passes.into_iter().collect(), fails: fails.into_iter().collect() }
}

const SECRET_NAME: &str = "must be a Secret's name: lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part";
const KEY: &str =
    "must be a key of a Secret: letters, digits, '-', '_' and '.', but not '.' alone and no '..' in front";
const ENDPOINT: &str = "endpoint must be an https origin such as https://api.example.com or https://api.example.com:8443, without path, user or query";
const RESERVED: &str = "names under kubernetes.io, k8s.io, apicredential.io and argoproj.io are reserved, except app.kubernetes.io/name, instance, component, part-of and version";

/// The rules about one object.
pub fn rows() -> Vec<Row> {
    let long = "a".repeat(201);
    vec![
        row(
            "",
            "metadata.name must have at most 200 characters, because its events are named after it",
            [json!({"metadata": {"name": &long[..200]}})],
            [json!({"metadata": {"name": long}})],
        ),
        row(
            "spec",
            "target.name must differ from provider.welkin.secretRef.name: a token is never written into its source Secret",
            [target(json!({"name": "welkin-client-2"}))],
            [target(json!({"name": "welkin-client"}))],
        ),
        row(
            "spec",
            "target.name must differ from provider.qontak.secretRef.name: a token is never written into its source Secret",
            [qontak(json!({"secretRef": {"name": "qontak-login-2"}}))],
            [qontak(json!({"secretRef": {"name": "token"}}))],
        ),
        row(
            "spec.provider",
            "the block welkin must be set when type is Welkin, and only then",
            [json!({})],
            [
                provider(json!({"welkin": null})),
                provider(json!({"type": "Qontak"})),
                provider(json!({"type": "Qontak", "qontak": {"secretRef": {"name": "qontak-login"}}})),
            ],
        ),
        row(
            "spec.provider",
            "the block qontak must be set when type is Qontak, and only then",
            [qontak(json!({}))],
            [
                provider(json!({"qontak": {"secretRef": {"name": "qontak-login"}}})),
                provider(json!({"type": "Qontak", "welkin": null})),
            ],
        ),
        row(
            "spec.provider.welkin.tenant",
            "tenant must be 1 to 128 letters, digits, '_' or '-', because it is one segment of a URL",
            ["gh", "G-h_1", "-", "_"].map(|tenant| welkin(json!({"tenant": tenant}))),
            NO_SEGMENTS.map(|tenant| welkin(json!({"tenant": tenant}))),
        ),
        row(
            "spec.provider.welkin.clientName",
            "clientName must be 1 to 128 letters, digits, '_' or '-', because it is one segment of a URL",
            ["VBOPNRYRWJIP", "a"].map(|name| welkin(json!({"clientName": name}))),
            NO_SEGMENTS.map(|name| welkin(json!({"clientName": name}))),
        ),
        row(
            "spec.provider.welkin.secretRef.name",
            SECRET_NAME,
            SECRET_NAMES.map(|name| welkin(json!({"secretRef": {"name": name}}))),
            NO_SECRET_NAMES.map(|name| welkin(json!({"secretRef": {"name": name}}))),
        ),
        row(
            "spec.provider.welkin.keys.secret",
            KEY,
            KEYS.map(|key| welkin(json!({"keys": {"secret": key}}))),
            NO_KEYS.map(|key| welkin(json!({"keys": {"secret": key}}))),
        ),
        row(
            "spec.provider.welkin.endpoint",
            ENDPOINT,
            ENDPOINTS.map(|endpoint| welkin(json!({"endpoint": endpoint}))),
            NO_ENDPOINTS.map(|endpoint| welkin(json!({"endpoint": endpoint}))),
        ),
        row(
            "spec.provider.qontak.secretRef.name",
            SECRET_NAME,
            SECRET_NAMES.map(|name| qontak(json!({"secretRef": {"name": name}}))),
            NO_SECRET_NAMES.map(|name| qontak(json!({"secretRef": {"name": name}}))),
        ),
        row(
            "spec.provider.qontak.keys.username",
            KEY,
            KEYS.map(|key| qontak(json!({"keys": {"username": key}}))),
            NO_KEYS.map(|key| qontak(json!({"keys": {"username": key}}))),
        ),
        row(
            "spec.provider.qontak.keys.password",
            KEY,
            KEYS.map(|key| qontak(json!({"keys": {"password": key}}))),
            NO_KEYS.map(|key| qontak(json!({"keys": {"password": key}}))),
        ),
        row(
            "spec.provider.qontak.keys.clientId",
            KEY,
            KEYS.map(|key| qontak(json!({"keys": {"clientId": key, "clientSecret": "b"}}))),
            NO_KEYS.map(|key| qontak(json!({"keys": {"clientId": key, "clientSecret": "b"}}))),
        ),
        row(
            "spec.provider.qontak.keys.clientSecret",
            KEY,
            KEYS.map(|key| qontak(json!({"keys": {"clientId": "b", "clientSecret": key}}))),
            NO_KEYS.map(|key| qontak(json!({"keys": {"clientId": "b", "clientSecret": key}}))),
        ),
        row(
            "spec.provider.qontak.keys",
            "clientId and clientSecret must be named together: name both, or neither to use the OAuth client that Qontak publishes",
            [json!({}), json!({"clientId": "a", "clientSecret": "b"})].map(|keys| qontak(json!({"keys": keys}))),
            [json!({"clientId": "a"}), json!({"clientSecret": "b"})].map(|keys| qontak(json!({"keys": keys}))),
        ),
        row(
            "spec.provider.qontak.endpoint",
            ENDPOINT,
            ENDPOINTS.map(|endpoint| qontak(json!({"endpoint": endpoint}))),
            NO_ENDPOINTS.map(|endpoint| qontak(json!({"endpoint": endpoint}))),
        ),
        row(
            "spec.target.name",
            SECRET_NAME,
            SECRET_NAMES.map(|name| target(json!({"name": name}))),
            NO_SECRET_NAMES.map(|name| target(json!({"name": name}))),
        ),
        row(
            "spec.target.name",
            "must not begin with sh.helm.release.v1., because Helm takes such a Secret for one of its releases",
            ["sh.helm.release.v2", "a.sh.helm.release.v1.b"].map(|name| target(json!({"name": name}))),
            ["sh.helm.release.v1.a.v1", "sh.helm.release.v1.b"].map(|name| target(json!({"name": name}))),
        ),
        row(
            "spec.target.tokenKey",
            KEY,
            KEYS.map(|key| target(json!({"tokenKey": key}))),
            NO_KEYS.map(|key| target(json!({"tokenKey": key}))),
        ),
        row(
            "spec.target",
            "data must not contain the key that tokenKey names, because the raw token is always written there",
            [target(json!({"tokenKey": "other", "data": {"token": "{token}"}}))],
            [target(json!({"data": {"token": "x"}})), target(json!({"tokenKey": "a", "data": {"a": "x", "b": "y"}}))],
        ),
        row(
            "spec.target",
            "metadata must be absent when creationPolicy is Merge: labels and annotations of a merged Secret belong to its owner",
            [target(json!({"creationPolicy": "Merge"})), target(json!({"metadata": {"labels": {"team": "care"}}}))],
            [
                target(json!({"creationPolicy": "Merge", "metadata": {"labels": {"team": "care"}}})),
                target(json!({"creationPolicy": "Merge", "metadata": {}})),
            ],
        ),
        row(
            "spec.target.data",
            "each name must be a key of a Secret: at most 253 letters, digits, '-', '_' and '.', but not '.' alone and no '..' in front",
            KEYS.map(|key| target(json!({"data": {key: "x"}}))),
            ["", "a/b", "a b", "ü", ".", "..", "..a", &"a".repeat(254)].map(|key| target(json!({"data": {key: "x"}}))),
        ),
        row(
            "spec.target.data.*",
            "the placeholders are {token}, {tokenType}, {expiresAt}, {issuedAt}, {provider} and {endpoint}, with Welkin also {tenant} and {clientName}; write {{ for a literal brace",
            [
                "",
                "Bearer {token}",
                "{tokenType} {token} {expiresAt} {issuedAt} {provider}{provider}",
                "{endpoint}/{tenant}/{clientName}",
                r#"{{"token":"{token}"}"#,
                "}{{}}{{",
                "{{{token}}",
                "two\nlines {token}",
            ]
            .map(|value| target(json!({"data": {"a": value}}))),
            ["{", "{}", "{Token}", "{ token }", "{token", "{secret}", "{{{", "{tok{{en}", "{\n}"]
                .map(|value| target(json!({"data": {"a": value}}))),
        ),
        row(
            "spec.target.data.*",
            "{token} may occur at most once in a value",
            ["{token}{{token}", "{{token} {{token}"].map(|value| target(json!({"data": {"a": value}}))),
            ["{token}{token}", "{token} and {{{token}"].map(|value| target(json!({"data": {"a": value}}))),
        ),
        row(
            "spec.target.metadata.labels",
            RESERVED,
            METADATA_NAMES.map(|name| metadata("labels", name, "x")),
            [
                "kubernetes.io/x",
                "a.kubernetes.io/x",
                "k8s.io/x",
                "x.k8s.io/x",
                "apicredential.io/source",
                "argoproj.io/x",
            ]
            .map(|name| metadata("labels", name, "x")),
        ),
        row(
            "spec.target.metadata.labels",
            "each name must be a label name such as team or example.com/team: at most 63 letters, digits, '-', '_' and '.' after an optional DNS name and '/'",
            METADATA_NAMES.map(|name| metadata("labels", name, "x")),
            [
                "",
                "a b",
                "/a",
                "a/",
                "a/b/c",
                "Example.com/a",
                "-a",
                "ü",
                &"a".repeat(64),
                &format!("{}/a", "a".repeat(254)),
            ]
            .map(|name| metadata("labels", name, "x")),
        ),
        row(
            "spec.target.metadata.labels.*",
            "must be a label value: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
            ["", "a", "A_b.c-1"].map(|value| metadata("labels", "team", value)),
            ["a b", "-a", "a.", "ü", "a\n"].map(|value| metadata("labels", "team", value)),
        ),
        row(
            "spec.target.metadata.annotations",
            RESERVED,
            METADATA_NAMES.map(|name| metadata("annotations", name, "anything, even \n")),
            [
                "kubernetes.io/x",
                "Kubernetes.IO/x",
                "a.b.K8s.io/x",
                "apicredential.io/owner",
                "argocd.argoproj.io/x",
                "app.kubernetes.io/managed-by",
                "App.kubernetes.io/name",
                "app.kubernetes.io/Name",
                "a.app.kubernetes.io/name",
            ]
            .map(|name| metadata("annotations", name, "x")),
        ),
        row(
            "spec.target.metadata.annotations",
            "each name must be an annotation name such as team or example.com/team: at most 63 letters, digits, '-', '_' and '.' after an optional DNS name and '/'",
            ["Example.com/Team"].map(|name| metadata("annotations", name, "x")),
            ["", "a b", "/a", "a/", "a/b/c", "-a", "ü", &"a".repeat(64), &format!("{}/a", "a".repeat(254))]
                .map(|name| metadata("annotations", name, "x")),
        ),
        row(
            "spec.renewal",
            "renewBefore and renewBeforePercentage exclude each other: remove one of them",
            [
                json!({}),
                renewal(json!({})),
                renewal(json!({"renewBefore": "20m"})),
                renewal(json!({"renewBeforePercentage": 33})),
                renewal(json!({"renewBefore": null, "renewBeforePercentage": 33})),
            ],
            [renewal(json!({"renewBefore": "20m", "renewBeforePercentage": 33}))],
        ),
        row(
            "spec.renewal.renewBefore",
            "renewBefore must be a duration of at least 2m, written like 90m, 24h or 1h30m",
            ["2m", "120s", "0h1m60s", "1h30m", "99999h99999h99999h"].map(|text| renewal(json!({"renewBefore": text}))),
            NO_DURATIONS.into_iter().chain(["119s", "1m59s", "0h"]).map(|text| renewal(json!({"renewBefore": text}))),
        ),
        row(
            "spec.renewal.maxAge",
            "maxAge must be a duration of at least 5m, written like 90m, 24h or 1h30m",
            ["5m", "24h"].map(|text| renewal(json!({"maxAge": text}))),
            NO_DURATIONS.into_iter().chain(["299s", "4m59s"]).map(|text| renewal(json!({"maxAge": text}))),
        ),
        row(
            "spec.renewal.assumedLifetime",
            "assumedLifetime must be a duration of at least 5m, written like 90m, 24h or 1h30m",
            ["5m", "1h"].map(|text| renewal(json!({"assumedLifetime": text}))),
            NO_DURATIONS.into_iter().chain(["299s", "4m59s"]).map(|text| renewal(json!({"assumedLifetime": text}))),
        ),
        row(
            "spec",
            "target.data may contain {tenant} and {clientName} only when provider.type is Welkin",
            ["{endpoint} {{tenant} {{clientName}", "{{{{tenant}"].map(qontak_data),
            ["{tenant}", "{clientName}", "{{{tenant}", "{{{{{clientName}"].map(qontak_data),
        ),
        row(
            "spec",
            "renewal.assumedLifetime has no effect when provider.type is Qontak: a token for which Qontak states no expiry never expires; remove assumedLifetime",
            [renewal(json!({"assumedLifetime": "30m"}))],
            [qontak_with("renewal", json!({"assumedLifetime": "30m"}))],
        ),
        row(
            "spec",
            "verification is only possible when provider.type is Qontak: Welkin documents no request that checks a token; remove verification",
            [verification(json!({})), verification(json!({"interval": "1h"}))],
            [json!({"spec": {"verification": {}}}), json!({"spec": {"verification": {"interval": "1h"}}})],
        ),
        row(
            "spec.verification.interval",
            "interval must be a duration of at least 5m, written like 90m, 24h or 1h30m",
            ["5m", "300s", "24h"].map(|text| verification(json!({"interval": text}))),
            NO_DURATIONS.into_iter().chain(["299s", "4m59s"]).map(|text| verification(json!({"interval": text}))),
        ),
    ]
}

const NO_SEGMENTS: [&str; 12] = ["gh/x", "..", ".", "%2e", "%2F", "a?b", "a#b", "a b", "a\n", "\na", "ü", "a\u{200b}"];
const SECRET_NAMES: [&str; 4] = ["a", "1-2", "a.b-c.d", "0"];
const NO_SECRET_NAMES: [&str; 8] = ["A", "a_b", "-a", "a-", "a..b", ".a", "a/b", "a\n"];
const KEYS: [&str; 4] = ["a", "client_id", ".dockerconfigjson", "-_.A9"];
const NO_KEYS: [&str; 7] = [".", "..", "..a", "a/b", "a b", "ü", "a\n"];
const ENDPOINTS: [&str; 5] = [
    "https://api.stg.welkincloud.io",
    "https://localhost:8443",
    "https://127.0.0.1:1",
    "https://[::1]:8443",
    "https://API.example.com",
];
const NO_ENDPOINTS: [&str; 12] = [
    "http://example.com",
    "HTTPS://example.com",
    "https://example.com/",
    "https://example.com/path",
    "https://user@example.com",
    "https://user:word@example.com",
    "https://example.com?a=b",
    "https://example.com#a",
    "https://example.com:123456",
    "https://exa mple.com",
    "https://-example.com",
    "https://example.com\n",
];
const NO_DURATIONS: [&str; 10] = ["20", "20 m", "1d", "-5m", "+5m", "1.5h", "100000h", "1h1h1h1h", "5M", "5m\n"];
const METADATA_NAMES: [&str; 7] = [
    "team",
    "example.com/team",
    "kubernetes.io",
    "notkubernetes.io/team",
    "kubernetes.io.example.com/team",
    "app.kubernetes.io/name",
    "app.kubernetes.io/part-of",
];

/// A rule about an update: the object as it is created, a change that passes, a change that fails.
pub struct Update {
    pub field: &'static str,
    pub message: &'static str,
    pub passes: Value,
    pub fails: Value,
}

/// The rules about updates.
pub fn updates() -> Vec<Update> {
    vec![
        Update {
            field: "spec.provider.type",
            message: "type is immutable: create another ApiCredential for another provider",
            passes: welkin(json!({"tenant": "other", "endpoint": "https://api.stg.welkincloud.io"})),
            fails: qontak(json!({})),
        },
        Update {
            field: "spec.target.name",
            message: "name is immutable: create another ApiCredential for another Secret",
            passes: target(json!({"data": {"header": "{token}"}})),
            fails: target(json!({"name": "other"})),
        },
        Update {
            field: "spec.target.creationPolicy",
            message: "creationPolicy is immutable: delete this ApiCredential and create it again",
            passes: target(json!({"creationPolicy": "Owner"})),
            fails: target(json!({"creationPolicy": "Merge"})),
        },
    ]
}
