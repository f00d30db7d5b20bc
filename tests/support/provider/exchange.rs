//! A token request from arrival to response. Both providers take the same steps; their formats are in their modules.

use std::io::{self, Write};
use std::sync::LazyLock;
use std::time::Duration;

use apicredential::api::Provider;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Response, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream::{self, Stream, StreamExt};
use jiff::Timestamp;

use super::script::{Content, Disturbance, Flow, Point, Reply};
use super::state::{Account, InFlight, Key, ProviderState, Request};
use super::{qontak, welkin};

/// The login of one request, as sent.
pub struct Presented {
    pub tenant: String,
    pub secret: String,
    pub oauth_client: Option<(String, String)>,
    pub headers: HeaderMap,
}

/// A rejection or a success, before it becomes an HTTP response.
struct Drawn {
    status: u16,
    token: Option<String>,
    body: Vec<u8>,
}

/// Responds to a request of a known client.
pub async fn answer(state: &ProviderState, key: Key, presented: Presented) -> Response<Body> {
    let in_flight = state.arrive(&key, request(&presented, state.now()));
    let reply = state.with(&key, |account| account.queue.pop_front().unwrap_or_else(|| account.usual.clone()));
    tokio::time::sleep(reply.latency).await;
    if matches!(reply.flow, Flow::Hang) {
        std::future::pending::<()>().await;
    }
    if let Some(response) = disturb(&reply, Point::Arrived).await {
        return response;
    }
    let (now, number) = (state.now(), in_flight.number());
    let drawn = state.with(&key, |account| draw(&key, account, &presented, &reply, (number, now)));
    in_flight.answered(drawn.status, drawn.token.clone());
    if let Some(response) = disturb(&reply, Point::Issued).await {
        return response;
    }
    respond(key.0, drawn, &reply, in_flight)
}

/// Does what the script plans for this point. Returns a response if that replaces the usual one.
pub async fn disturb(reply: &Reply, here: Point) -> Option<Response<Body>> {
    let (point, disturbance) = reply.disturbance.as_ref()?;
    if *point != here {
        return None;
    }
    match disturbance {
        Disturbance::Reset => {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(Reset);
            return Some(response);
        }
        Disturbance::Silence => std::future::pending().await,
        Disturbance::Action(action) => action(),
    }
    None
}

/// In place of a response: the connection is reset.
#[derive(Clone, Copy)]
pub struct Reset;

fn request(presented: &Presented, at: Timestamp) -> Request {
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Request {
        at,
        tenant: presented.tenant.clone(),
        secret: presented.secret.clone(),
        headers: presented.headers.iter().map(header).collect(),
        status: None,
        whole: false,
        token: None,
    }
}

fn draw(
    key: &Key,
    account: &mut Account,
    presented: &Presented,
    reply: &Reply,
    (number, now): (usize, Timestamp),
) -> Drawn {
    let usual_status = if number.is_multiple_of(2) { 201 } else { 200 };
    let status = reply.status.unwrap_or(usual_status);
    match &reply.body {
        Content::Token => {
            if let Some(drawn) = refuse(key.0, account, presented) {
                return drawn;
            }
            let (token, body) = match key.0 {
                Provider::Welkin => welkin::token(&key.1, account, reply, now),
                Provider::Qontak => qontak::token(account, reply, now),
            };
            Drawn { status, token: Some(token), body: body.into() }
        }
        Content::Error { code, text } => {
            let body = match key.0 {
                Provider::Welkin => welkin::error(code, text),
                Provider::Qontak => qontak::error(code, text),
            };
            Drawn { status, token: None, body: body.into() }
        }
        Content::Raw(body) => Drawn { status, token: None, body: body.clone() },
        // Created while the response is sent.
        Content::Filler(_) | Content::GzipBomb => Drawn { status, token: None, body: Vec::new() },
    }
}

fn refuse(provider: Provider, account: &Account, presented: &Presented) -> Option<Drawn> {
    let drawn = |status, body: String| Some(Drawn { status, token: None, body: body.into() });
    if presented.oauth_client.as_ref().is_some_and(|client| *client != account.oauth_client) {
        return drawn(401, qontak::error("invalid_client", "Client authentication failed."));
    }
    if account.accepted.as_ref().is_none_or(|accepted| *accepted == presented.secret) {
        return None;
    }
    let body = match provider {
        Provider::Welkin => welkin::error("INVALID_CLIENT_SECRET", "The API client's secret is wrong."),
        Provider::Qontak => qontak::error("invalid_grant", "The provided authorization grant is invalid."),
    };
    drawn(account.refusal, body)
}

fn respond(provider: Provider, drawn: Drawn, reply: &Reply, in_flight: InFlight) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(drawn.status).expect("a status code");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if provider == Provider::Welkin {
        welkin::load_balancer_cookies(headers);
    }
    for (name, value) in &reply.headers {
        let name: HeaderName = name.parse().expect("a header name");
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
    }
    if let Some((Point::Halfway, disturbance)) = &reply.disturbance {
        *response.body_mut() = halved(drawn.body, disturbance.clone(), in_flight);
        return response;
    }
    *response.body_mut() = match reply.body {
        Content::Filler(bytes) => body(filler(bytes), reply.flow, in_flight),
        Content::GzipBomb => body(stream::repeat_with(|| GZIP_MEMBER.clone()).take(1024), reply.flow, in_flight),
        _ => body(stream::iter([Bytes::from(drawn.body)]), reply.flow, in_flight),
    };
    response
}

/// A stream, so that the body is sent chunked, as the real services do.
fn body(chunks: impl Stream<Item = Bytes> + Send + 'static, flow: Flow, in_flight: InFlight) -> Body {
    match flow {
        Flow::Whole | Flow::Hang => accounted(chunks.map(Ok), in_flight),
        Flow::Drip { bytes, pause } => {
            let small = chunks.flat_map(move |chunk| stream::iter(pieces(&chunk, bytes)));
            accounted(small.then(move |piece| paused(piece, pause)).map(Ok), in_flight)
        }
        Flow::Cut { after } => {
            let whole = chunks.flat_map(|chunk| stream::iter(pieces(&chunk, 1))).take(after);
            let end = stream::once(async {
                // Otherwise the error would overtake the bytes.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(io::Error::other("cut"))
            });
            accounted(whole.map(Ok).chain(end), in_flight)
        }
    }
}

/// A body whose request is in flight until its last byte: nothing polls for more once the connection is gone.
fn accounted(chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static, in_flight: InFlight) -> Body {
    let end = stream::once(async move { in_flight.ended() }).filter_map(|()| async { None });
    Body::from_stream(chunks.chain(end))
}

/// Half of the body, then what the script plans, then perhaps the rest.
fn halved(body: Vec<u8>, disturbance: Disturbance, in_flight: InFlight) -> Body {
    let whole = Bytes::from(body);
    let (half, rest) = (whole.slice(..whole.len() / 2), whole.slice(whole.len() / 2..));
    let second = stream::once(async move {
        // Otherwise the disturbance would overtake the bytes.
        tokio::time::sleep(Duration::from_millis(20)).await;
        match disturbance {
            Disturbance::Reset => Err(io::Error::other("reset")),
            Disturbance::Silence => std::future::pending().await,
            Disturbance::Action(action) => {
                action();
                Ok(rest)
            }
        }
    });
    accounted(stream::iter([Ok(half)]).chain(second), in_flight)
}

async fn paused(piece: Bytes, pause: Duration) -> Bytes {
    tokio::time::sleep(pause).await;
    piece
}

fn pieces(chunk: &Bytes, bytes: usize) -> Vec<Bytes> {
    chunk.chunks(bytes).map(Bytes::copy_from_slice).collect()
}

fn filler(bytes: usize) -> impl Stream<Item = Bytes> + Send + 'static {
    const FRAME: usize = r#"{"filler":""}"#.len();
    const PIECE: usize = 64 * 1024;
    let mut rest = bytes.saturating_sub(FRAME);
    let mut chunks = vec![Bytes::from_static(br#"{"filler":""#)];
    let piece = Bytes::from(vec![b'x'; PIECE]);
    while rest > 0 {
        let length = rest.min(PIECE);
        chunks.push(piece.slice(..length));
        rest -= length;
    }
    chunks.push(Bytes::from_static(br#""}"#));
    stream::iter(chunks)
}

/// One MiB of zeros in about one KiB. Members of a gzip stream can be concatenated.
static GZIP_MEMBER: LazyLock<Bytes> = LazyLock::new(|| {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 1024 * 1024]).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything").into()
});
