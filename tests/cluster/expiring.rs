//! A planned renewal that fails: the token is kept until it expires, and then Ready is False, by class.

use apicredential::api::Provider::Qontak;

use crate::hostile::{self, FIRST, SECOND, each};
use crate::support::provider::{MockProvider, Reply};
use crate::support::space::{self, Space};

#[tokio::test]
async fn a_token_that_expires_while_its_renewal_fails_is_kept_and_reported_as_expired() {
    let (space, throttling, mock_provider) = (Space::new().await, MockProvider::start(), MockProvider::start());
    let error = |status| Reply::error_with(status, hostile::TOKEN, hostile::BODY);
    let rows = [
        ("unavailable", &mock_provider, error(500), "ProviderUnavailable", "Reconciling"),
        ("hanging", &mock_provider, Reply::hang(), "ProviderTimeout", "Reconciling"),
        ("limited", &throttling, error(429).header("retry-after", "600"), "RateLimited", "Reconciling"),
        ("unusable", &mock_provider, Reply::raw(200, hostile::BODY), "InvalidResponse", "Stalled"),
        ("rejected", &mock_provider, error(401), "CredentialsRejected", "Stalled"),
    ];
    let settings = hostile::patient(&space, &mock_provider).endpoints(&[&mock_provider, &throttling], &[]);
    let settings = settings.flag("--min-renewal-interval", "1s");
    let _operator = settings.start().await;
    // One token of a minute, and then only failures.
    each(&rows, async |&(name, mock_provider, ref reply, reason, trouble)| {
        let client = hostile::client(mock_provider, Qontak, name);
        client.next(hostile::token(Qontak).lifetime(60.0)).always(reply.clone());
        hostile::credential(&space, mock_provider, &client, Qontak, name).await;
        space.wait_ready(name).await;
        let before = space.secret(&format!("{name}-token")).await.expect("it is Ready");
        let credential = space.wait_condition(name, "Ready", "False/TokenExpired").await;
        assert_eq!(space::condition(&credential, "Renewed"), Some(format!("False/{reason}")), "{name}");
        assert_eq!(space::condition(&credential, trouble), Some(format!("True/{reason}")), "{name}");
        let other = if trouble == "Stalled" { "Reconciling" } else { "Stalled" };
        assert_eq!(space::condition(&credential, other), None, "{name}");
        assert_eq!(client.count(), 2, "{name}: the first exchange and the planned one");
        let (failed, ended) = (client.requests()[1].at, client.tokens()[0].expires.expect("it ends"));
        assert!(failed < ended, "{name}: the renewal came at {failed}, after the end at {ended}");
        assert_eq!(space.secret(&format!("{name}-token")).await, Some(before), "{name}");
    })
    .await;
    for (name, mock_provider, ..) in rows.iter().filter(|row| row.0 != "limited") {
        let client = hostile::client(mock_provider, Qontak, name);
        hostile::source(&space, Qontak, name, SECOND).await;
        space.wait_condition(name, "Ready", "True/TokenValid").await;
        let secrets: Vec<_> = client.requests().into_iter().map(|request| request.secret).collect();
        assert_eq!(secrets, [FIRST, FIRST, SECOND], "{name}");
    }
    space.assert_no_leaks(&hostile::sentinels()).await;
}
