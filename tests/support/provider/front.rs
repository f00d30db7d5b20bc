//! The mock provider's TLS listener: the certificate it shows is part of what can be scripted.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::certificates::{Authority, Leaf, self_signed, server_config};
use super::books::Books;

/// The vendors' hosts too, for an operator whose proxy leads here.
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
    /// A certificate for localhost and the vendors' hosts, signed by the authority of [`super::MockProvider::ca_pem`].
    Trusted,
    /// A certificate for the same names that vouches for itself.
    SelfSigned,
    /// A certificate of the right authority for another host.
    WrongHost,
    /// A certificate of the right authority that ended in 2001.
    Expired,
    /// The connection is closed in the middle of the handshake.
    Cut,
}

impl Front {
    pub fn leaf(self, authority: &Authority) -> Leaf {
        match self {
            Self::Trusted | Self::Cut => authority.issue(&NAMES),
            Self::SelfSigned => self_signed(&NAMES),
            Self::WrongHost => authority.issue(&["wrong-host.example"]),
            Self::Expired => authority.issue_expired(&NAMES),
        }
    }
}

/// Starts accepting, in the calling runtime: connections whose handshake is done. Each is shaken by a task of its own,
/// so that one slow client does not hold up the others.
pub fn connections(
    listener: std::net::TcpListener,
    front: Front,
    leaf: &Leaf,
    books: Books,
) -> mpsc::Receiver<TlsStream<TcpStream>> {
    listener.set_nonblocking(true).expect("a socket can be made non-blocking");
    let listener = TcpListener::from_std(listener).expect("a runtime is running");
    let acceptor = TlsAcceptor::from(Arc::new(server_config(leaf)));
    let (done, ready) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            books.open().connections += 1;
            if front == Front::Cut {
                continue;
            }
            let (acceptor, done) = (acceptor.clone(), done.clone());
            tokio::spawn(async move {
                // A failed handshake is the client's business: it is what the bad certificates are for.
                if let Ok(stream) = acceptor.accept(stream).await {
                    done.send(stream).await.ok();
                }
            });
        }
    });
    ready
}
