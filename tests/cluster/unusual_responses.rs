//! Responses that are unusual but valid: their tokens are written, with the expiry that they state.

use apicredential::api::Provider::{self, Qontak, Welkin};

use crate::hostile::{self, each, is_settled, token};
use crate::support::provider::{MockProvider, Reply};
use crate::support::space::{Space, annotation, value};

/// The lifetime in the status; `None` for a token that never expires.
type Lifetime = Option<i64>;

fn rows() -> Vec<(&'static str, Provider, Reply, Lifetime, &'static str)> {
    let expires = |json: &str| token(Qontak).field_text("expires_in", json);
    vec![
        ("float", Qontak, expires("3600.9"), Some(3600), "Issued"),
        ("string", Qontak, expires("\"3600\""), Some(3600), "Issued"),
        ("null", Qontak, expires("null"), None, "Issued"),
        ("missing", Qontak, token(Qontak).without_expiry(), None, "Issued"),
        ("lower-case", Qontak, token(Qontak).field("token_type", "bearer"), Some(3600), "Issued"),
        ("no-type", Qontak, token(Qontak).without_field("token_type"), Some(3600), "Issued"),
        (
            "json-charset",
            Qontak,
            token(Qontak).header("content-type", "Application/JSON; charset=utf-8"),
            Some(3600),
            "Issued",
        ),
        ("exp-missing", Welkin, token(Welkin).without_expiry(), Some(3600), "ExpiryUnknown"),
        ("opaque", Welkin, token(Welkin).field("token", hostile::TOKEN), Some(3600), "ExpiryUnknown"),
        ("iat-missing", Welkin, token(Welkin).without_claim("iat").lifetime(7200.0), Some(7200), "Issued"),
        ("no-echo", Welkin, token(Welkin).without_field("clientName").without_field("enabled"), Some(3600), "Issued"),
    ]
}

#[tokio::test]
async fn unusual_but_valid_responses_are_accepted() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = hostile::patient(&space, &mock_provider).start().await;
    each(rows(), async |(name, provider, reply, ..)| {
        let client = hostile::client(&mock_provider, provider, name);
        client.always(reply);
        hostile::credential(&space, &mock_provider, &client, provider, name).await;
    })
    .await;
    hostile::wait_for_all(&space, "every token", rows().len(), is_settled).await;
    for (name, provider, _, lifetime, event) in rows() {
        let status = hostile::status(&space.credential(name).await);
        let reported = status.token.expect("a Ready credential reports its token");
        // The clock may advance by a second between the request and its response.
        let fits = match (reported.lifetime_seconds, lifetime) {
            (Some(reported), Some(meant)) => (meant - 5..=meant + 5).contains(&reported),
            (reported, meant) => reported == meant,
        };
        assert!(fits, "{name}: {:?} s, not {lifetime:?}", reported.lifetime_seconds);
        assert_eq!(reported.type_, "Bearer", "{name}");
        let secret = space.secret(&format!("{name}-token")).await.unwrap();
        let ends = annotation(&secret, "expires-at").unwrap();
        assert_eq!(ends == "never", lifetime.is_none(), "{name}: {ends}");
        if provider == Qontak {
            assert_eq!(value(&secret, "token").as_deref(), Some(hostile::TOKEN), "{name}");
        }
        // In the mode `pinned` a rejection may have come first, before the permissions were in effect.
        let reported = async || space.events_of(name).await.iter().any(|(_, reason, _)| reason == event).then_some(());
        space.wait_for("its event", reported).await;
    }
    space.assert_no_leaks(&hostile::sentinels()).await;
}
