//! Reads replies of the API server, bounded by bytes.
//!
//! An object may have 1.5 MB, and whoever may edit objects in one namespace can make hundreds of that size. kube's own client
//! copies a reply twice before it decodes it, reads as many replies at once as there are requests, and keeps the buffer of a
//! watch as large as its largest event. Here a reply is held once, at most [`LARGE_REPLIES`] of them are larger than
//! [`SMALL`], and no buffer outlives its reply. The text of an undecodable reply is not logged.

use std::io;
use std::marker::PhantomData;
use std::pin::Pin;

use bytes::Bytes;
use hyper::body::Body as _;
use kube::Client;
use kube::client::Body;
use kube::core::{Status, WatchEvent};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

/// A reply up to this size needs no permit, in bytes.
const SMALL: usize = 128 * 1024;
/// Larger replies that are held at once.
const LARGE_REPLIES: usize = 8;

/// The permits to hold a large reply. They are those of the process, because its memory is.
static LARGE: Semaphore = Semaphore::const_new(LARGE_REPLIES);

/// Reads and decodes a whole reply.
///
/// # Errors
/// The request failed, or the reply cannot be decoded.
pub async fn read<T: DeserializeOwned>(client: &Client, request: http::Request<Vec<u8>>) -> kube::Result<T> {
    let whole = read_at_most(client, request, usize::MAX).await?;
    // No reply is larger than that.
    whole.ok_or_else(|| kube::Error::ReadEvents(io::ErrorKind::FileTooLarge.into()))
}

/// Reads and decodes a reply. `None` if it has more bytes than `most`; the rest is not read then.
///
/// # Errors
/// The request failed, or the reply cannot be decoded.
pub async fn read_at_most<T: DeserializeOwned>(
    client: &Client,
    request: http::Request<Vec<u8>>,
    most: usize,
) -> kube::Result<Option<T>> {
    let mut body = send(client, request).await?;
    let mut document = Document::default();
    while let Some(chunk) = next_chunk(&mut body).await? {
        if chunk.len() > most - document.bytes.len() {
            return Ok(None);
        }
        document.push(&chunk).await;
    }
    drop(body);
    document.decode().map(Some)
}

/// Starts a watch.
///
/// # Errors
/// The request failed.
pub async fn watch<T: DeserializeOwned>(client: &Client, request: http::Request<Vec<u8>>) -> kube::Result<Events<T>> {
    Ok(Events { body: send(client, request).await?, rest: Bytes::new(), kind: PhantomData })
}

/// The events of a watch.
pub struct Events<T> {
    body: Body,
    /// What was received after the last event.
    rest: Bytes,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Events<T> {
    /// The next event. `None` at the end, also if the connection closed in the middle of an event: the watch can be
    /// resumed then. A call that is dropped loses what it has received.
    ///
    /// # Errors
    /// The connection failed, or the event cannot be decoded.
    pub async fn next(&mut self) -> kube::Result<Option<WatchEvent<T>>> {
        let mut line = Document::default();
        loop {
            if self.rest.is_empty() {
                match next_chunk(&mut self.body).await {
                    Ok(Some(chunk)) => self.rest = chunk,
                    Ok(None) => return Ok(None),
                    Err(error) if is_end_of_file(&error) => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
            match self.rest.iter().position(|byte| *byte == b'\n') {
                None => line.push(&std::mem::take(&mut self.rest)).await,
                Some(end) => {
                    line.push(&self.rest.split_to(end + 1)).await;
                    return line.decode().map(Some);
                }
            }
        }
    }
}

/// One JSON document, and the permit to hold it if it is large.
#[derive(Default)]
struct Document {
    bytes: Vec<u8>,
    permit: Option<SemaphorePermit<'static>>,
}

impl Document {
    async fn push(&mut self, chunk: &[u8]) {
        if self.permit.is_none() && self.bytes.len() + chunk.len() > SMALL {
            // This never fails, because the semaphore is never closed.
            self.permit = LARGE.acquire().await.ok();
        }
        self.bytes.extend_from_slice(chunk);
    }

    fn decode<T: DeserializeOwned>(self) -> kube::Result<T> {
        serde_json::from_slice(&self.bytes).map_err(kube::Error::SerdeError)
    }
}

/// Sends a request and returns the body of the reply.
async fn send(client: &Client, request: http::Request<Vec<u8>>) -> kube::Result<Body> {
    let response = client.send(request.map(Body::from)).await?;
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_client_error() && !status.is_server_error() {
        return Ok(body);
    }
    let mut document = Document::default();
    while let Some(chunk) = next_chunk(&mut body).await? {
        document.push(&chunk).await;
    }
    // A proxy in between may answer with something else.
    let status = document.decode().unwrap_or_else(|_| Status::failure("", "").with_code(status.as_u16()));
    Err(kube::Error::Api(status.boxed()))
}

async fn next_chunk(body: &mut Body) -> kube::Result<Option<Bytes>> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        match frame.transpose()?.map(|frame| frame.into_data()) {
            None => return Ok(None),
            Some(Ok(data)) if !data.is_empty() => return Ok(Some(data)),
            // No data, or trailers.
            Some(_) => {}
        }
    }
}

/// The API server, or something between, ended the connection instead of the reply. It does so when it shuts down.
fn is_end_of_file(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    // More than there are layers, in case of a circle.
    for _ in 0..16 {
        let Some(error) = cause else { return false };
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::UnexpectedEof) || error.to_string().contains("unexpected EOF during chunk") {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
#[path = "reply_test.rs"]
mod tests;
