//! The stand-in's TLS listener: the certificate it shows is part of what can be scripted.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::certificates::{Authority, Leaf, self_signed, server_config};
use super::books::Books;

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// What a client meets before HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// A certificate for localhost, signed by the authority of [`super::StandIn::ca_pem`].
    Trusted,
    /// A certificate for localhost that vouches for itself.
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

/// Hands out connections whose handshake is done; each is shaken by a task of its own, so that one slow client
/// does not hold up the others.
pub struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Starts accepting, in the calling runtime.
    pub fn start(listener: std::net::TcpListener, front: Front, leaf: &Leaf, books: Books) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let listener = TcpListener::from_std(listener).expect("a runtime is running");
        let acceptor = TlsAcceptor::from(Arc::new(server_config(leaf)));
        let (done, ready) = mpsc::channel(64);
        tokio::spawn(async move {
            loop {
                let Ok((stream, peer)) = listener.accept().await else { continue };
                books.open().connections += 1;
                if front == Front::Cut {
                    continue;
                }
                let (acceptor, done) = (acceptor.clone(), done.clone());
                tokio::spawn(async move {
                    // A failed handshake is the client's business: it is what the bad certificates are for.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        done.send((stream, peer)).await.ok();
                    }
                });
            }
        });
        Self { address, ready }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}
