//! The mock provider's control API below `/_mock/`: request counts, and a client's accepted secret and lifetime.

use apicredential::api::Provider;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, put};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::script::Reply;
use super::state::{Account, ProviderState};

pub fn routes() -> Router<ProviderState> {
    Router::new().route("/_mock/requests", get(requests)).route("/_mock/clients/{provider}/{name}", put(change))
}

async fn requests(State(state): State<ProviderState>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], format!("{:#}\n", counts(&state)))
}

/// Counts by provider and client; never a secret or a token.
fn counts(state: &ProviderState) -> Value {
    let inner = state.open();
    let mut clients: [(Provider, Map<String, Value>); 2] =
        [(Provider::Welkin, Map::new()), (Provider::Qontak, Map::new())];
    for ((provider, name), account) in &inner.accounts {
        for (known, clients) in &mut clients {
            if known == provider {
                clients.insert(name.clone(), summary(account));
            }
        }
    }
    let [(_, welkin), (_, qontak)] = clients;
    let (good, bad) = inner.token_uses();
    json!({
        "welkin": welkin,
        "qontak": qontak,
        "tokenUses": {"good": good, "bad": bad},
        "strangers": inner.strangers.len(),
    })
}

fn summary(account: &Account) -> Value {
    json!({
        "requests": account.requests.len(),
        "tokens": account.tokens.len(),
        "inFlight": account.in_flight,
        "lastStatus": account.requests.last().and_then(|request| request.status),
        "lastTime": account.requests.last().map(|request| request.at.to_string()),
    })
}

/// The body of a PUT. Absent fields keep their value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Change {
    secret: Option<String>,
    lifetime_seconds: Option<f64>,
    status: Option<u16>,
}

async fn change(
    State(state): State<ProviderState>,
    Path((provider, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, (StatusCode, String)> {
    let provider = match provider.as_str() {
        "welkin" => Provider::Welkin,
        "qontak" => Provider::Qontak,
        _ => return Err((StatusCode::NOT_FOUND, "The provider is welkin or qontak.\n".to_owned())),
    };
    let change: Change = serde_json::from_slice(&body)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("secret, lifetimeSeconds, status: {error}\n")))?;
    let client = Client::new(state, provider, &name);
    if let Some(secret) = change.secret {
        client.accept(&secret);
    }
    match (change.status, change.lifetime_seconds) {
        (Some(status), _) if status >= 300 => drop(client.always(Reply::error(status)).clone()),
        (_, Some(seconds)) => drop(client.lifetime(seconds).clone()),
        (Some(_), None) => drop(client.always(Reply::token()).clone()),
        (None, None) => {}
    }
    Ok(StatusCode::NO_CONTENT)
}
