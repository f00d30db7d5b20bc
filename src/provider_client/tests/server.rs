//! A small TLS server on loopback, and a token exchange with it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apicredential::endpoint::{Endpoint, PathSegment};
use apicredential::providers::WelkinLogin;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::*;

pub(super) struct TestCa(pub(super) CertifiedIssuer<'static, KeyPair>);

impl TestCa {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn acceptor(&self, host: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server: its address, its CA, and the number of requests that it has read.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    ca: TestCa,
    requests: Arc<AtomicUsize>,
}

impl Server {
    /// Serves each connection with the script, which counts its requests with the counter.
    pub(super) async fn start<F, S>(host: &str, script: S) -> Self
    where
        F: Future<Output = ()> + Send,
        S: Fn(TlsStream<TcpStream>, Arc<AtomicUsize>) -> F + Send + Sync + 'static,
    {
        let (ca, requests) = (TestCa::new(), Arc::new(AtomicUsize::new(0)));
        let (acceptor, counter, script) = (ca.acceptor(host), Arc::clone(&requests), Arc::new(script));
        let address = listen(move |stream| {
            let (acceptor, counter, script) = (acceptor.clone(), Arc::clone(&counter), Arc::clone(&script));
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    script(stream, counter).await;
                }
            }
        })
        .await;
        Self { address, ca, requests }
    }

    /// Reads one request on each connection, sends this response, and closes the connection.
    pub(super) async fn answering(response: impl Into<Vec<u8>>) -> Self {
        let response: Arc<Vec<u8>> = Arc::new(response.into());
        Self::start("127.0.0.1", move |mut stream, counter| {
            let response = Arc::clone(&response);
            async move {
                read_request(&mut stream, &counter).await;
                let _ = stream.write_all(&response).await;
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    pub(super) fn client(&self, timeout: Duration) -> ProviderClient {
        install_provider();
        ProviderClient::new(timeout, &Transport::trusting(self.ca.0.pem().as_bytes())).unwrap()
    }

    pub(super) async fn exchange(&self) -> Result<Issued, ExchangeFailure> {
        self.client(Duration::from_secs(10)).exchange(&login(self.address)).await
    }

    pub(super) async fn reason(&self) -> Reason {
        self.exchange().await.expect_err("a failure").reason
    }

    pub(super) async fn reason_within(&self, timeout: Duration) -> Reason {
        self.client(timeout).exchange(&login(self.address)).await.expect_err("a failure").reason
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

pub(super) async fn listen<F: Future<Output = ()> + Send>(
    serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serve = Arc::clone(&serve);
            tokio::spawn(async move { serve(stream).await });
        }
    });
    address
}

/// Reads one request with the body length from its Content-Length header. `None` at the end of the connection.
pub(super) async fn read_request(stream: &mut TlsStream<TcpStream>, counter: &AtomicUsize) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(length) if length > 0 => text.extend_from_slice(&piece[..length]),
            _ => return None,
        }
        let so_far = String::from_utf8(text.clone()).unwrap();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        if body.len() == length.parse::<usize>().unwrap() {
            counter.fetch_add(1, Ordering::SeqCst);
            return Some(so_far);
        }
    }
}

pub(super) fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub(super) fn login(address: SocketAddr) -> Login {
    Login::Welkin(WelkinLogin {
        endpoint: Endpoint::parse(&format!("https://{address}")).unwrap(),
        tenant: PathSegment::parse("gh").unwrap(),
        client_name: PathSegment::parse("client").unwrap(),
        secret: SecretString::from("+}B{KGTG6#\""),
    })
}

pub(super) fn json(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}
