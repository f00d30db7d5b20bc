//! Shared by the tests of failing and hostile providers: sentinels that must not appear anywhere, and ApiCredentials by
//! the dozen.

use apicredential::api::{ApiCredential, ApiCredentialStatus, Provider};
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::support::leaks::Sentinels;
use crate::support::operator::Settings;
use crate::support::provider::{Client, MockProvider, Reply};
use crate::support::space::{self, Space};

/// In every Qontak user's name, which is in the source Secret, too.
pub const USERNAME: &str = "sentinel-username-0000";
/// The first secret of every client.
pub const FIRST: &str = "+}B{KGTG6#zG%P;\"first\"-sentinel-0001";
/// The value in the source after its first change.
pub const SECOND: &str = "+}B{KGTG6#zG%P;\"second\"-sentinel-0002";
/// The value after its second change.
pub const THIRD: &str = "+}B{KGTG6#zG%P;\"third\"-sentinel-0003";
/// In every token.
pub const TOKEN: &str = "sentinel-in-a-token-0004";
/// In response bodies, as text and as a part of JSON.
pub const BODY: &str = "sentinel <b>\"in a body\"</b> 0005";
/// In a response header.
pub const HEADER: &str = "sentinel-in-a-header-0006";
/// In the Location of redirects.
pub const LOCATION: &str = "sentinel-in-a-location-0007";

/// All of them.
pub fn sentinels() -> Sentinels {
    Sentinels::new([
        ("the username", USERNAME),
        ("the first secret", FIRST),
        ("the second secret", SECOND),
        ("the third secret", THIRD),
        ("a token", TOKEN),
        ("a body", BODY),
        ("a header", HEADER),
        ("a location", LOCATION),
    ])
}

/// A valid response whose token contains the sentinel.
pub fn token(provider: Provider) -> Reply {
    match provider {
        Provider::Welkin => Reply::token().claim("sub", TOKEN),
        Provider::Qontak => Reply::token().field("access_token", TOKEN),
    }
}

/// An operator that acts only on watch events, and limits a provider's response time to some seconds.
pub fn patient(space: &Space, mock_provider: &MockProvider) -> Settings {
    let settings = Settings::new(space, mock_provider).patient();
    settings.flag("--provider-rate", "0").flag("--provider-timeout", "10s").flag("--lease-duration", "40s")
}

/// The client that an ApiCredential of this name uses. From now on it returns valid responses until it is set
/// otherwise.
pub fn client(mock_provider: &MockProvider, provider: Provider, name: &str) -> Client {
    let client = match provider {
        Provider::Welkin => mock_provider.welkin(name),
        Provider::Qontak => mock_provider.qontak(&format!("{USERNAME}-{name}")),
    };
    client.always(token(provider));
    client
}

/// Creates or changes the source of an ApiCredential of this name.
pub async fn source(space: &Space, provider: Provider, name: &str, secret: &str) {
    let source = format!("{name}-source");
    match provider {
        Provider::Welkin => space.source_welkin(&source, secret).await,
        Provider::Qontak => space.source_qontak(&source, &format!("{USERNAME}-{name}"), secret).await,
    };
}

/// Creates an ApiCredential of this name, with its source.
pub async fn credential(space: &Space, mock_provider: &MockProvider, client: &Client, provider: Provider, name: &str) {
    source(space, provider, name, FIRST).await;
    space
        .apply(&match provider {
            Provider::Welkin => space::welkin(name, client, mock_provider),
            Provider::Qontak => space::qontak(name, mock_provider),
        })
        .await;
}

/// Runs an action for each, some at a time.
pub async fn each<T>(items: impl IntoIterator<Item = T>, work: impl AsyncFn(T)) {
    let work = &work;
    stream::iter(items).for_each_concurrent(8, async |item| work(item).await).await;
}

/// Waits until this many ApiCredentials fit.
pub async fn wait_for_all(space: &Space, what: &str, count: usize, fits: impl Fn(&ApiCredential) -> bool) {
    space
        .wait_for(what, async || {
            let all = space.credentials.list(&ListParams::default()).await.ok()?;
            (all.iter().filter(|credential| fits(credential)).count() == count).then_some(())
        })
        .await;
}

/// Whether it is Ready with a token, without any failure.
pub fn is_settled(credential: &ApiCredential) -> bool {
    space::condition(credential, "Ready").as_deref() == Some("True/TokenValid")
        && space::condition(credential, "Renewed").as_deref() == Some("True/Issued")
}

/// Whether its last attempt ended without a token.
pub fn has_failed(credential: &ApiCredential) -> bool {
    status(credential).last_attempt.is_some_and(|attempt| attempt.reason != "Issued")
}

/// The status, or an empty one if there is none.
pub fn status(credential: &ApiCredential) -> ApiCredentialStatus {
    credential.status.as_deref().cloned().unwrap_or_default()
}

/// When the last request was sent, and when the next one is planned.
pub fn last_and_next(credential: &ApiCredential) -> (Timestamp, Timestamp) {
    let status = status(credential);
    let last = status.last_attempt.expect("a request was sent").time.0;
    let next = status.next_attempt_time;
    (last, next.unwrap_or_else(|| panic!("{} plans no next attempt", credential.name_any())).0)
}
