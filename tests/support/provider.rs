//! The providers' mock provider: both vendors' documented shapes over real TLS, scriptable per client, with counts.
//!
//! Clients are known by name: a Welkin API client's name, a Qontak user's name. [`MockProvider::welkin`] and
//! [`MockProvider::qontak`] make one known and give the handle to script it. Since all tests may share one mock provider, give
//! each test's clients names of their own. It runs on a thread and a runtime of its own, so that a `#[tokio::test]`
//! may block or end as it likes.

mod books;
mod client;
mod desk;
mod exchange;
mod front;
mod qontak;
mod script;
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

use self::books::Books;
pub use self::books::{QONTAK_CLIENT_ID, QONTAK_CLIENT_SECRET, Request, Token};
pub use self::client::Client;
use self::exchange::Reset;
pub use self::front::Front;
pub use self::script::{Disturbance, Point, Reply};
use super::certificates::{Authority, Leaf};
use super::{random, undertaker};

/// Tells what a provider was shown and what it issued so far, and how to call it.
pub type Witness = Box<dyn Fn() -> Vec<(&'static str, String)> + Send + Sync>;

/// A running mock provider; ended when dropped.
pub struct MockProvider {
    address: SocketAddr,
    ca: String,
    ca_file: PathBuf,
    books: Books,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MockProvider {
    /// Starts one with a certificate that is right.
    pub fn start() -> Self {
        Self::with_front(Front::Trusted)
    }

    /// Starts one that meets its clients so.
    pub fn with_front(front: Front) -> Self {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), front).expect("a loopback port is free")
    }

    /// Starts one on a given address.
    pub fn listen(address: SocketAddr, front: Front) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let authority = Authority::new("provider mock provider");
        let leaf = front.leaf(&authority);
        let ca_file = undertaker::directory().join(format!("provider-ca-{}.pem", random::suffix()));
        std::fs::write(&ca_file, authority.pem())?;
        let books = Books::default();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn({
            let books = books.clone();
            move || serve(listener, front, &leaf, &books, stopped)
        });
        let ca = authority.pem().to_owned();
        Ok(Self { address, ca, ca_file, books, stop: Some(stop), thread: Some(thread) })
    }

    /// Its origin, to be an endpoint: `https://localhost:PORT`.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The certificate of its authority, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca
    }

    /// A file with [`MockProvider::ca_pem`], for `--provider-ca-file`.
    pub fn ca_file(&self) -> &PathBuf {
        &self.ca_file
    }

    /// The Welkin API client of this name, in any tenant.
    pub fn welkin(&self, client_name: &str) -> Client {
        Client::new(self.books.clone(), Provider::Welkin, client_name)
    }

    /// The Qontak user of this name.
    pub fn qontak(&self, username: &str) -> Client {
        Client::new(self.books.clone(), Provider::Qontak, username)
    }

    /// Sets its clock so far ahead (or back) of this machine's: tokens are issued, live and die by it.
    pub fn set_clock(&self, ahead: SignedDuration) {
        self.books.open().ahead = ahead;
    }

    /// All requests to anything: known clients, strangers, uses of tokens, unknown paths.
    pub fn total(&self) -> usize {
        let inner = self.books.open();
        let known: usize = inner.accounts.values().map(|account| account.requests.len()).sum();
        known + inner.strangers.len() + inner.uses.len()
    }

    /// Tells what it was shown and what it issued, also after its end.
    pub fn witness(&self) -> Witness {
        let books = self.books.clone();
        Box::new(move || {
            let inner = books.open();
            let accounts = || inner.accounts.values();
            let shown = accounts().flat_map(|account| &account.requests).map(|it| ("a secret", it.secret.clone()));
            let issued = accounts().flat_map(|account| &account.tokens).map(|it| ("a token", it.text.clone()));
            shown.chain(issued).collect()
        })
    }

    /// Requests to clients and paths that are not known, as text.
    pub fn strangers(&self) -> Vec<String> {
        self.books.open().strangers.clone()
    }

    /// How often a token was used that was good, and one that was not.
    pub fn token_uses(&self) -> (usize, usize) {
        self.books.open().token_uses()
    }

    /// Connections that were opened, whether a handshake followed or not.
    pub fn connections(&self) -> usize {
        self.books.open().connections
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

fn serve(listener: TcpListener, front: Front, leaf: &Leaf, books: &Books, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut connections = front::connections(listener, front, leaf, books.clone());
        let router = routes(books.clone());
        let serving = async {
            while let Some(stream) = connections.recv().await {
                let answer = service_fn({
                    let router = router.clone();
                    move |request| answer(router.clone(), request)
                });
                // An error is a client that went, or that was to be cut off.
                tokio::spawn(async move {
                    http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await.ok();
                });
            }
        };
        tokio::select! {
            () = serving => {}
            // An error means that the handle was dropped, which is how it is told.
            _ = stopped => {}
        }
    });
    // Requests that hang would be waited for.
    runtime.shutdown_background();
}

async fn answer(router: Router, request: HttpRequest<Incoming>) -> io::Result<Response<Body>> {
    let Ok(response) = TowerToHyperService::new(router).call(request.map(Body::new)).await;
    if response.extensions().get::<Reset>().is_some() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(response)
}

fn routes(books: Books) -> Router {
    let unknown = async |State(books): State<Books>, method: Method, uri: Uri| {
        books.open().strangers.push(format!("{method} {uri}"));
        StatusCode::NOT_FOUND
    };
    Router::new()
        .merge(welkin::routes())
        .merge(qontak::routes())
        .merge(desk::routes())
        .fallback(unknown)
        .with_state(books)
}
