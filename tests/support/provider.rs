//! The mock provider: the documented APIs of both vendors over real TLS, scriptable per client, with request counts.
//!
//! Clients are identified by name: a Welkin API client's name, a Qontak user's name. [`MockProvider::welkin`] and
//! [`MockProvider::qontak`] register one and return the handle to script it. Tests may share one mock provider, so each
//! test uses names of its own. It runs on a thread and a runtime of its own, so that a `#[tokio::test]` may block or
//! end at any time.

mod client;
mod control;
mod exchange;
mod front;
mod qontak;
mod script;
mod state;
mod welkin;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread::JoinHandle;

use apicredential::api::Provider;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request as HttpRequest, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use jiff::SignedDuration;
use tokio::sync::oneshot;

pub use self::client::Client;
use self::exchange::Reset;
pub use self::front::Front;
pub use self::script::{Disturbance, Point, Reply};
use self::state::ProviderState;
pub use self::state::{QONTAK_CLIENT_ID, QONTAK_CLIENT_SECRET, Request, Token};
use super::certificates::{CertificateAuthority, Leaf};
use super::{random, reaper};

/// Returns the secrets that a provider received, the tokens that it issued so far, and the provider's name.
pub type Witness = Box<dyn Fn() -> Vec<(&'static str, String)> + Send + Sync>;

/// A running mock provider; stopped when dropped.
pub struct MockProvider {
    address: SocketAddr,
    ca: String,
    ca_file: PathBuf,
    state: ProviderState,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MockProvider {
    /// Starts one with a valid certificate.
    pub fn start() -> Self {
        Self::with_front(Front::Trusted)
    }

    /// Starts one with this TLS behaviour.
    pub fn with_front(front: Front) -> Self {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), front).expect("a loopback port is free")
    }

    /// Starts one on a given address.
    pub fn listen(address: SocketAddr, front: Front) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let ca = CertificateAuthority::new("mock provider");
        let leaf = front.leaf(&ca);
        let ca_file = reaper::directory().join(format!("provider-ca-{}.pem", random::suffix()));
        std::fs::write(&ca_file, ca.pem())?;
        let state = ProviderState::default();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn({
            let state = state.clone();
            move || serve(listener, front, &leaf, &state, stopped)
        });
        let ca_pem = ca.pem().to_owned();
        Ok(Self { address, ca: ca_pem, ca_file, state, stop: Some(stop), thread: Some(thread) })
    }

    /// Its origin, for use as an endpoint: `https://localhost:PORT`.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The certificate of its CA, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca
    }

    /// A file with [`MockProvider::ca_pem`], for `--provider-ca-file`.
    pub fn ca_file(&self) -> &PathBuf {
        &self.ca_file
    }

    /// The Welkin API client of this name, in any tenant.
    pub fn welkin(&self, client_name: &str) -> Client {
        Client::new(self.state.clone(), Provider::Welkin, client_name)
    }

    /// The Qontak user of this name.
    pub fn qontak(&self, username: &str) -> Client {
        Client::new(self.state.clone(), Provider::Qontak, username)
    }

    /// Sets its clock this far ahead of (or behind) this machine's. Tokens are issued and expire by it.
    pub fn set_clock(&self, ahead: SignedDuration) {
        self.state.open().ahead = ahead;
    }

    /// The number of all requests: known clients, unknown clients, uses of tokens, unknown paths.
    pub fn total(&self) -> usize {
        let inner = self.state.open();
        let known: usize = inner.accounts.values().map(|account| account.requests.len()).sum();
        known + inner.strangers.len() + inner.uses.len()
    }

    /// Returns the secrets that it received and the tokens that it issued, also after its end.
    pub fn witness(&self) -> Witness {
        let state = self.state.clone();
        Box::new(move || {
            let inner = state.open();
            let accounts = || inner.accounts.values();
            let shown = accounts().flat_map(|account| &account.requests).map(|it| ("a secret", it.secret.clone()));
            let issued = accounts().flat_map(|account| &account.tokens).map(|it| ("a token", it.text.clone()));
            shown.chain(issued).collect()
        })
    }

    /// Requests to unknown clients and paths, as text.
    pub fn strangers(&self) -> Vec<String> {
        self.state.open().strangers.clone()
    }

    /// How often a valid token was used, and an invalid one.
    pub fn token_uses(&self) -> (usize, usize) {
        self.state.open().token_uses()
    }

    /// Connections that were opened, whether a handshake followed or not.
    pub fn connections(&self) -> usize {
        self.state.open().connections
    }
}

impl Drop for MockProvider {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(listener: TcpListener, front: Front, leaf: &Leaf, state: &ProviderState, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut connections = front::connections(listener, front, leaf, state.clone());
        let router = routes(state.clone());
        let serving = async {
            while let Some(stream) = connections.recv().await {
                let answer = service_fn({
                    let router = router.clone();
                    move |request| answer(router.clone(), request)
                });
                // An error means that the client hung up or was disconnected on purpose.
                tokio::spawn(async move {
                    http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await.ok();
                });
            }
        };
        tokio::select! {
            () = serving => {}
            // An error means that the handle was dropped, which also stops the server.
            _ = stopped => {}
        }
    });
    // A graceful shutdown would wait for requests that hang.
    runtime.shutdown_background();
}

async fn answer(router: Router, request: HttpRequest<Incoming>) -> io::Result<Response<Body>> {
    let Ok(response) = TowerToHyperService::new(router).call(request.map(Body::new)).await;
    if response.extensions().get::<Reset>().is_some() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(response)
}

fn routes(state: ProviderState) -> Router {
    let unknown = async |State(state): State<ProviderState>, method: Method, uri: Uri| {
        state.open().strangers.push(format!("{method} {uri}"));
        StatusCode::NOT_FOUND
    };
    Router::new()
        .merge(welkin::routes())
        .merge(qontak::routes())
        .merge(control::routes())
        .fallback(unknown)
        .with_state(state)
}
