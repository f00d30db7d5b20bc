//! The mock provider's TLS listener. The certificate that it presents can be scripted.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::certificates::{CertificateAuthority, Leaf, self_signed, server_config};
use super::state::ProviderState;

/// Includes the vendors' hosts, for an operator whose proxy resolves them to this server.
const NAMES: [&str; 6] = [
    "localhost",
    "127.0.0.1",
    "api.live.welkincloud.io",
    "api.stg.welkincloud.io",
    "chat-service.qontak.com",
    "service-chat.qontak.com",
];

/// What a client meets before HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// A certificate for localhost and the vendors' hosts, signed by the CA of [`super::MockProvider::ca_pem`].
    Trusted,
    /// A self-signed certificate for the same names.
    SelfSigned,
    /// A certificate of the right CA for another host.
    WrongHost,
    /// A certificate of the right CA that expired in 2001.
    Expired,
    /// The connection is closed in the middle of the handshake.
    Cut,
}

impl Front {
    pub fn leaf(self, ca: &CertificateAuthority) -> Leaf {
        match self {
            Self::Trusted | Self::Cut => ca.issue(&NAMES),
            Self::SelfSigned => self_signed(&NAMES),
            Self::WrongHost => ca.issue(&["wrong-host.example"]),
            Self::Expired => ca.issue_expired(&NAMES),
        }
    }
}

/// Accepts connections in the calling runtime. The TLS handshake of each runs in a task of its own, so that one slow
/// client does not hold up the others.
pub fn connections(
    listener: std::net::TcpListener,
    front: Front,
    leaf: &Leaf,
    state: ProviderState,
) -> mpsc::Receiver<TlsStream<TcpStream>> {
    listener.set_nonblocking(true).expect("a socket can be made non-blocking");
    let listener = TcpListener::from_std(listener).expect("a runtime is running");
    let acceptor = TlsAcceptor::from(Arc::new(server_config(leaf)));
    let (done, ready) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            state.open().connections += 1;
            if front == Front::Cut {
                continue;
            }
            let (acceptor, done) = (acceptor.clone(), done.clone());
            tokio::spawn(async move {
                // A failed handshake is expected: the invalid certificates are there for it.
                if let Ok(stream) = acceptor.accept(stream).await {
                    done.send(stream).await.ok();
                }
            });
        }
    });
    ready
}
