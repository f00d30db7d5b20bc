//! The mock provider's own pages below `/_mock/`, for a shell: counts, and a client's accepted secret and lifetime.

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

use super::books::{Account, Books};
use super::client::Client;
use super::script::Reply;

pub fn routes() -> Router<Books> {
    Router::new().route("/_mock/requests", get(requests)).route("/_mock/clients/{provider}/{name}", put(change))
}

async fn requests(State(books): State<Books>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], format!("{:#}\n", counts(&books)))
}

/// Counts by provider and client; never a secret or a token.
fn counts(books: &Books) -> Value {
    let inner = books.open();
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

/// The body of a PUT; what is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Change {
    secret: Option<String>,
    lifetime_seconds: Option<f64>,
    status: Option<u16>,
}

async fn change(
    State(books): State<Books>,
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
    let client = Client::new(books, provider, &name);
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
