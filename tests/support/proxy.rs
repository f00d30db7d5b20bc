//! A CONNECT proxy, as corporate networks have: it opens tunnels for clients that log in, and counts them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running proxy; stopped when dropped.
pub struct Proxy {
    address: SocketAddr,
    seen: Arc<Counters>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counters {
    tunnels: AtomicUsize,
    refused: AtomicUsize,
    login: Option<String>,
    instead: Option<String>,
    targets: Mutex<Vec<String>>,
}

impl Proxy {
    /// A proxy that requires this `user:password`, if any.
    pub async fn start(login: Option<&str>) -> Self {
        let login = login.map(|login| format!("Basic {}", BASE64_STANDARD.encode(login)));
        Self::serve(Counters { login, ..Counters::default() }).await
    }

    /// A proxy that connects every tunnel to this `host:port`, whatever host is requested.
    pub async fn to(host: &str) -> Self {
        Self::serve(Counters { instead: Some(host.to_owned()), ..Counters::default() }).await
    }

    async fn serve(seen: Counters) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = listener.local_addr().expect("it has an address");
        let seen = Arc::new(seen);
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(tunnel(stream, Arc::clone(&seen)));
                }
            }
        });
        Self { address, seen, task }
    }

    /// Its origin, for `--provider-proxy`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Tunnels that were opened.
    pub fn tunnels(&self) -> usize {
        self.seen.tunnels.load(Ordering::SeqCst)
    }

    /// Requests without the right login.
    pub fn refused(&self) -> usize {
        self.seen.refused.load(Ordering::SeqCst)
    }

    /// The targets of the tunnels, as `host:port`.
    pub fn targets(&self) -> Vec<String> {
        self.seen.targets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tunnel(stream: TcpStream, seen: Arc<Counters>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        if line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let target = lines.first()?.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    let header = |line: &String| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.to_owned())
    };
    if seen.login.is_some() && lines.iter().find_map(header) != seen.login {
        seen.refused.fetch_add(1, Ordering::SeqCst);
        let answer =
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
        return stream.write_all(answer.as_bytes()).await.ok();
    }
    let mut server = TcpStream::connect(seen.instead.as_ref().unwrap_or(&target)).await.ok()?;
    seen.tunnels.fetch_add(1, Ordering::SeqCst);
    seen.targets.lock().unwrap_or_else(PoisonError::into_inner).push(target);
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    copy_bidirectional(&mut stream, &mut server).await.ok().map(drop)
}
