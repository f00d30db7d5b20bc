//! Stored tokens that are older, or younger, than a test can wait for.

use apicredential::plan::{AllowLists, Plan};
use apicredential::target::fingerprint::Fingerprint;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::space::{Space, annotation, value};

/// Shifts the times stored with the token of `name` by this many seconds, with a matching fingerprint. No operator
/// may run.
pub async fn shift(space: &Space, name: &str, by: i64) {
    let credential = space.credential(name).await;
    let secret = space.secret(&format!("{name}-token")).await.expect("the target exists");
    let plan = Plan::parse(&credential.spec, &AllowLists::default()).expect("the spec is valid");
    let moved = |name| match annotation(&secret, name).expect("a time").as_str() {
        "never" => "never".to_owned(),
        time => {
            let time: Timestamp = time.parse().expect("RFC 3339");
            time.checked_add(SignedDuration::from_secs(by)).expect("a time of this century").to_string()
        }
    };
    let (issued, expires) = (moved("issued-at"), moved("expires-at"));
    let token = value(&secret, "token").expect("a token");
    let fingerprint = Fingerprint::new(&token, &plan, &issued, &expires).to_text();
    let annotations = json!({
        "apicredential.io/issued-at": issued,
        "apicredential.io/expires-at": expires,
        "apicredential.io/fingerprint": fingerprint,
    });
    space.patch_secret(&format!("{name}-token"), &json!({"metadata": {"annotations": annotations}})).await;
}
