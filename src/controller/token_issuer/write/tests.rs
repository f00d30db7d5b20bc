//! The guarded write against an API server that answers by a script: which requests are made, and what comes of them.

use std::sync::Arc;

use apicredential::decide::Cause;
use apicredential::plan::AllowLists;
use apicredential::providers::{Issued, Lifetime};
use apicredential::schedule::later;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::*;
use crate::controller::token_issuer::{build_record, evaluate, request_id};

mod script;

use script::{Exchange, Script, refusal};

const GET_CREDENTIAL: &str = "GET apicredentials/a";
const GET_SECRET: &str = "GET secrets/a-token";
const CREATE: &str = "POST care/secrets";
const PATCH: &str = "PATCH secrets/a-token";

fn credential_json() -> Value {
    json!({
        "apiVersion": "apicredential.io/v1alpha1",
        "kind": "ApiCredential",
        "metadata": {"name": "a", "namespace": "care", "uid": "uid-of-a", "generation": 3, "resourceVersion": "7"},
        "spec": {
            "provider": {"type": "Welkin", "welkin": {
                "tenant": "gh", "clientName": "client", "secretRef": {"name": "source"},
            }},
            "target": {"name": "a-token"},
        },
    })
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
    object
}

fn credential() -> ApiCredential {
    serde_json::from_value(credential_json()).unwrap()
}

fn here() -> Exchange {
    (GET_CREDENTIAL, 200, Some(credential_json()))
}

fn plan() -> Plan {
    Plan::parse(&credential().spec, &AllowLists::default()).unwrap()
}

fn issued_at() -> Timestamp {
    clock::now_seconds()
}

/// A token that was issued so many minutes ago, or will be.
fn token(number: i64) -> TokenRecord {
    let issued_at = later(issued_at(), -60 * number);
    TokenRecord {
        token: format!("token-{number}").into(),
        issued_at,
        expiry: Expiry::At(later(issued_at, 3600)),
        source_version: "uid/7".to_owned(),
        fingerprint: Fingerprint::parse(&format!("v1:{number}")).unwrap(),
        renew_request: None,
    }
}

/// The Secret with that token in it.
fn stored(number: i64) -> Secret {
    let mut secret = render(&credential(), &plan(), &token(number)).to_new_secret(&credential(), "a-token");
    secret.metadata.uid = Some("uid-of-the-secret".to_owned());
    secret.metadata.resource_version = Some("41".to_owned());
    secret
}

fn json_of(secret: &Secret) -> Option<Value> {
    Some(serde_json::to_value(secret).unwrap())
}

fn request(target: Option<Secret>) -> ExchangeRequest {
    request_with("a secret of a source", target)
}

fn request_with(secret: &str, target: Option<Secret>) -> ExchangeRequest {
    let source = json!({
        "metadata": {"name": "source", "uid": "u", "labels": {"apicredential.io/source": "welkin"}},
        "data": {"secret": ByteString(secret.into())},
    });
    let source: Secret = serde_json::from_value(source).unwrap();
    let values = apicredential::source::resolve("care", &plan(), Some(&source)).unwrap();
    ExchangeRequest {
        credential: Arc::new(credential()),
        inputs: values.login.clone(),
        plan: plan(),
        cause: Cause::Due,
        values,
        target,
        stored: None,
        refused: false,
        renew_request: None,
    }
}

/// How a delivery of the newest token ends, in a word, when the script is over.
async fn written(target: Option<Secret>, lines: impl IntoIterator<Item = Exchange>) -> (String, Script) {
    let script = Script::new(lines);
    let outcome = script.issuer().write_token(&request(target), token(0), false, &SuspendAwareInstant::now()).await;
    assert!(script.is_over(), "not asked: {:?}", script.lines);
    (word(&outcome), script)
}

fn word(outcome: &ExchangeOutcome) -> String {
    match outcome {
        ExchangeOutcome::Written { secret, .. } => {
            format!("written {}", secret.metadata.resource_version.as_deref().unwrap_or(""))
        }
        ExchangeOutcome::NotExtended => "not extended".to_owned(),
        ExchangeOutcome::Failed { refusal, token_lost, .. } => {
            assert!(!refusal.message.contains("token-0"), "{}", refusal.message);
            let webhook = if refusal.message.contains("\"a.example.com\"") { " a.example.com" } else { "" };
            format!("{} lost={token_lost}{webhook}", refusal.reason)
        }
        ExchangeOutcome::Discarded => "discarded".to_owned(),
    }
}

#[tokio::test]
async fn a_token_is_written_once_the_live_spec_requests_it() {
    let (outcome, script) = written(None, [here(), (CREATE, 201, None)]).await;
    assert_eq!(outcome, "written ");
    assert_eq!(script.body(CREATE)["metadata"]["name"], "a-token");
    let (outcome, script) = written(Some(stored(1)), [here(), (PATCH, 200, None)]).await;
    assert_eq!(outcome, "written 41");
    assert_eq!(script.body(PATCH)["metadata"]["resourceVersion"], "41");
}

#[tokio::test]
async fn the_reply_must_hold_what_was_written() {
    for field in ["/data/token", "/metadata/annotations/apicredential.io~1expires-at"] {
        let mut other = serde_json::to_value(stored(0)).unwrap();
        *other.pointer_mut(field).unwrap() = json!("MjAzMC0wMS0wMVQwMDowMDowMFo=");
        let (outcome, _) = written(None, [here(), (CREATE, 201, Some(other))]).await;
        assert_eq!(outcome, "TargetWriteRejected lost=true", "{field}");
    }
}

#[tokio::test]
async fn a_token_that_is_no_longer_requested_is_not_written() {
    let changes = [
        ("/metadata/uid", json!("of another one of that name")),
        ("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z")),
        ("/spec/provider/welkin/clientName", json!("another")),
    ];
    for (field, value) in changes {
        let live = with(credential_json(), field, value);
        let (outcome, _) = written(None, [(GET_CREDENTIAL, 200, Some(live))]).await;
        assert_eq!(outcome, "discarded", "{field}");
    }
    assert_eq!(written(None, [(GET_CREDENTIAL, 404, None)]).await.0, "discarded");
}

#[tokio::test]
async fn a_forbidden_call_is_reported_and_an_unavailable_one_repeated() {
    let forbidden = refusal(403, "x is forbidden: User y cannot get it");
    let (outcome, _) = written(None, [(GET_CREDENTIAL, 403, Some(forbidden.clone()))]).await;
    assert_eq!(outcome, "Forbidden lost=true");
    let (outcome, _) = written(None, [(GET_CREDENTIAL, 503, None), here(), (CREATE, 201, None)]).await;
    assert_eq!(outcome, "written ");
    let (outcome, _) = written(None, [here(), (CREATE, 403, Some(forbidden.clone()))]).await;
    assert_eq!(outcome, "Forbidden lost=true");
    let unclear = [here(), (CREATE, 500, None), (GET_SECRET, 403, Some(forbidden))];
    assert_eq!(written(None, unclear).await.0, "Forbidden lost=true");
}

const DENIED: &str = "admission webhook \"a.example.com\" denied the request: it holds token-0";
const FAILED: &str = "Internal error occurred: failed calling webhook \"a.example.com\": it holds token-0";

#[tokio::test]
async fn a_webhook_that_denies_the_write_ends_the_exchange_whatever_status_it_chose() {
    for status in [401, 403, 404, 409, 422, 500, 503] {
        let (outcome, _) = written(None, [here(), (CREATE, status, Some(refusal(status, DENIED)))]).await;
        assert_eq!(outcome, "TargetWriteRejected lost=true a.example.com", "{status}");
    }
}

#[tokio::test]
async fn a_webhook_that_fails_is_tried_again_with_the_same_token_and_named_if_it_goes_on_failing() {
    let fails = || [here(), (CREATE, 500, Some(refusal(500, FAILED))), (GET_SECRET, 404, None)];
    let (outcome, _) = written(None, fails().into_iter().chain([here(), (CREATE, 201, None)])).await;
    assert_eq!(outcome, "written ");
    let (outcome, _) = written(None, (0..ATTEMPTS).flat_map(|_| fails())).await;
    assert_eq!(outcome, "TargetWriteRejected lost=true a.example.com");
}

#[tokio::test]
async fn an_api_server_that_does_not_accept_the_login_is_tried_again_with_the_same_token() {
    let (outcome, _) = written(None, [(GET_CREDENTIAL, 401, None), here(), (CREATE, 201, None)]).await;
    assert_eq!(outcome, "written ");
    let again =
        [here(), (CREATE, 401, None), (GET_SECRET, 401, None), (GET_SECRET, 404, None), here(), (CREATE, 201, None)];
    assert_eq!(written(None, again).await.0, "written ");
    let refused = || [here(), (CREATE, 401, None), (GET_SECRET, 404, None)];
    assert_eq!(written(None, (0..ATTEMPTS).flat_map(|_| refused())).await.0, "Unauthorized lost=true");
}

#[tokio::test]
async fn a_write_tells_the_api_server_how_long_it_may_take() {
    let time = |script: &Script| {
        let timeouts = script.timeouts.lock().unwrap();
        timeouts.last().unwrap().strip_suffix("ms").unwrap().parse::<u64>().unwrap()
    };
    let (_, script) = written(None, [here(), (CREATE, 201, None)]).await;
    // 20 s from the token request, less what the test needs.
    assert!((10_000..=20_000).contains(&time(&script)), "{}", time(&script));
    let script = Script::new([here(), (CREATE, 201, None)]);
    let issuer = TokenIssuer { write_deadline: Duration::from_secs(60), ..script.issuer() };
    issuer.write_token(&request(None), token(0), false, &SuspendAwareInstant::now()).await;
    assert_eq!(time(&script), 25_000);
}

#[tokio::test]
async fn no_call_is_sent_after_the_deadline() {
    let script = Script::new([]);
    let issuer = TokenIssuer { write_deadline: Duration::ZERO, ..script.issuer() };
    let outcome = issuer.write_token(&request(None), token(0), false, &SuspendAwareInstant::now()).await;
    assert_eq!(word(&outcome), "ApiUnavailable lost=true");
    let unwritten = ApiError::Unavailable;
    let reread = issuer.read_again(&credential(), &plan(), &token(0), &unwritten, &SuspendAwareInstant::now()).await;
    assert!(reread.is_err_and(|refusal| refusal.reason == Reason::ApiUnavailable));
}

#[tokio::test]
async fn after_a_conflict_or_a_lost_reply_the_target_is_read_before_anything_is_written_again() {
    let old = stored(1);
    for status in [409, 500] {
        let found = |secret: &Secret| (GET_SECRET, 200, json_of(secret));
        let begin = || [here(), (PATCH, status, None)];
        // It is there already: nothing is written again.
        let (outcome, _) = written(Some(old.clone()), begin().into_iter().chain([found(&stored(0))])).await;
        assert_eq!(outcome, "written 41");
        // Somebody issued one later, and it is not of the future.
        let later = Script::new(begin().into_iter().chain([found(&stored(0))]));
        let outcome =
            later.issuer().write_token(&request(Some(stored(2))), token(1), false, &SuspendAwareInstant::now()).await;
        assert_eq!(word(&outcome), "discarded");
        // An older one is written over, at its version.
        let mut newer = old.clone();
        newer.metadata.resource_version = Some("42".to_owned());
        let again = [found(&newer), here(), (PATCH, 200, None)];
        let (outcome, script) = written(Some(old.clone()), begin().into_iter().chain(again)).await;
        assert_eq!(outcome, "written 41");
        assert_eq!(script.body(PATCH)["metadata"]["resourceVersion"], "42");
        // It was taken by somebody else.
        let mut foreign = old.clone();
        foreign.metadata.owner_references = None;
        let (outcome, _) = written(Some(old.clone()), begin().into_iter().chain([found(&foreign)])).await;
        assert_eq!(outcome, "TargetNotOwned lost=true");
        // It is gone.
        let gone = [(GET_SECRET, 404, None), here(), (CREATE, 201, None)];
        let (outcome, _) = written(Some(old.clone()), begin().into_iter().chain(gone)).await;
        assert_eq!(outcome, "written ");
    }
}

#[tokio::test]
async fn a_repair_is_made_only_for_the_spec_that_was_observed() {
    let mut damaged = stored(1);
    damaged.metadata.labels = None;
    let repair = async |live: Exchange, then: Option<Exchange>| {
        let script = Script::new([live].into_iter().chain(then));
        let repaired = script.issuer().repair(&credential(), &plan(), &token(1), &damaged).await;
        assert!(script.is_over());
        repaired.map(|secret| secret.metadata.resource_version).map_err(|error| format!("{error:?}"))
    };
    assert_eq!(repair(here(), Some((PATCH, 200, None))).await, Ok(Some("41".to_owned())));
    for (field, value) in [("/metadata/uid", json!("another")), ("/metadata/generation", json!(4))] {
        let live = (GET_CREDENTIAL, 200, Some(with(credential_json(), field, value)));
        assert_eq!(repair(live, None).await, Err("NotAllowed".to_owned()), "{field}");
    }
    assert_eq!(repair((GET_CREDENTIAL, 404, None), None).await, Err("NotAllowed".to_owned()));
}

#[tokio::test]
async fn a_dry_run_holds_no_token_and_returns_what_would_be_rejected() {
    let dry_run_write = async |target: Option<&Secret>, line: Exchange| {
        let script = Script::new([line]);
        let outcome = script.issuer().dry_run_write(&credential(), &plan(), target).await;
        assert!(script.is_over());
        (outcome, script)
    };
    let (outcome, script) = dry_run_write(None, ("POST care/secrets dry", 201, None)).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(script.body("POST care/secrets dry")["data"]["token"], json!(ByteString(b"placeholder".to_vec())));
    let refused = ("PATCH secrets/a-token dry", 422, None);
    assert_eq!(dry_run_write(Some(&stored(1)), refused).await.0, Err(ApiError::Rejected));
    let meanwhile = ("POST care/secrets dry", 409, None);
    assert_eq!(dry_run_write(None, meanwhile).await.0, Ok(()), "the next look sees it");
}

#[test]
fn each_request_has_an_id_of_its_own() {
    let [one, other] = [request_id(), request_id()];
    assert_ne!(one, other);
    assert!([one, other].iter().all(|it| it.len() == 16 && it.bytes().all(|byte| byte.is_ascii_hexdigit())));
}

#[test]
fn the_stored_bytes_themselves_extend_nothing() {
    let lifetime = Lifetime::Never;
    let issued =
        |token: &str| Issued { token: token.to_owned().into(), token_type: "Bearer", issued_at: issued_at(), lifetime };
    let stored = TokenRecord { expiry: Expiry::Never, ..token(1) };
    let request = ExchangeRequest { stored: Some(stored), ..request(None) };
    let verdict = |token: &str| format!("{:?}", evaluate(&request, &issued(token)));
    assert_eq!(verdict("token-1"), "NotExtended");
    assert!(verdict("token-2").starts_with("Write"), "{}", verdict("token-2"));
    let revoked = ExchangeRequest { stored: request.stored.clone(), refused: true, ..self::request(None) };
    assert_eq!(format!("{:?}", evaluate(&revoked, &issued("token-1"))), "StillRevoked");
    let record = build_record(&request, &issued("token-2"), Expiry::Never);
    assert!(ownership::fits(&record, &plan()));
    assert_eq!((record.token.expose_secret(), record.source_version.as_str()), ("token-2", "u/"));
}

#[test]
fn nothing_in_the_target_secret_depends_on_the_login() {
    let issued = Issued {
        token: "token-2".to_owned().into(),
        token_type: "Bearer",
        issued_at: issued_at(),
        lifetime: Lifetime::Never,
    };
    let written = |secret: &str| {
        let record = build_record(&request_with(secret, None), &issued, Expiry::Never);
        render(&credential(), &plan(), &record).to_new_secret(&credential(), "a-token")
    };
    assert_eq!(written("one secret of a source"), written("another secret of a source"));
}
