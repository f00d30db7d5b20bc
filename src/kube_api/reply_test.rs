use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::future::join_all;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::*;

/// A body that consists of these chunks and counts how many were taken.
struct Chunks {
    chunks: std::vec::IntoIter<Result<Vec<u8>, io::ErrorKind>>,
    taken: Arc<AtomicUsize>,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.taken.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(
            self.chunks.next().map(|chunk| chunk.map(|chunk| Frame::data(chunk.into())).map_err(io::Error::from)),
        )
    }
}

/// A client whose every reply has this status and these chunks, and the number of chunks that were taken.
fn client(status: u16, chunks: Vec<Result<Vec<u8>, io::ErrorKind>>) -> (Client, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let service = tower::service_fn(move |_: http::Request<Body>| {
        let body = Chunks { chunks: chunks.clone().into_iter(), taken: Arc::clone(&counter) };
        let response = http::Response::builder().status(status).body(body);
        async move { Ok::<_, Infallible>(response.unwrap()) }
    });
    (Client::new(service, "default"), taken)
}

fn request() -> http::Request<Vec<u8>> {
    http::Request::get("/").body(Vec::new()).unwrap()
}

fn large() -> Vec<u8> {
    json!("x".repeat(SMALL)).to_string().into_bytes()
}

#[tokio::test]
async fn a_reply_is_decoded_and_an_error_is_a_status() {
    let (ok, _) = client(200, vec![Ok(b"{\"a\":".to_vec()), Ok(Vec::new()), Ok(b"1}\n".to_vec())]);
    assert_eq!(read::<Value>(&ok, request()).await.unwrap(), json!({"a": 1}));
    let (missing, _) =
        client(404, vec![Ok(json!({"kind": "Status", "code": 404, "reason": "NotFound"}).to_string().into())]);
    assert!(matches!(read::<Value>(&missing, request()).await, Err(kube::Error::Api(status)) if status.is_not_found()));
    let (proxy, _) = client(502, vec![Ok(b"<html>".to_vec())]);
    assert!(matches!(read::<Value>(&proxy, request()).await, Err(kube::Error::Api(status)) if status.code == 502));
    let (cut, _) = client(200, vec![Ok(b"{".to_vec())]);
    assert!(matches!(read::<Value>(&cut, request()).await, Err(kube::Error::SerdeError(_))));
}

#[tokio::test]
async fn a_reply_over_the_limit_is_not_read_to_its_end() {
    let (endless, taken) = client(200, vec![Ok(vec![b' '; 1000]); 1000]);
    assert!(read_at_most::<Value>(&endless, request(), 5000).await.unwrap().is_none());
    assert_eq!(taken.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn few_large_replies_are_held_at_once_and_small_ones_do_not_wait() {
    let mut held = Vec::new();
    for _ in 0..LARGE_REPLIES {
        let mut document = Document::default();
        document.push(&large()).await;
        held.push(document);
    }
    let (many, _) = client(200, vec![Ok(large())]);
    let (small, _) = client(200, vec![Ok(b"1".to_vec())]);
    let replies = join_all((0..20).map(|_| read::<String>(&many, request())));
    tokio::pin!(replies);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut replies).await;
    assert!(early.is_err(), "none is read while others hold all permits");
    assert_eq!(read::<u8>(&small, request()).await.unwrap(), 1);
    drop(held);
    assert!(replies.await.iter().all(|reply| reply.as_ref().unwrap().len() == SMALL));
}

#[tokio::test]
async fn the_events_of_a_watch_are_separated_by_line_breaks_wherever_the_chunks_end() {
    let event = |number: usize| format!("{}\n", json!({"type": "ADDED", "object": number}));
    let text = (0..5).map(event).collect::<String>() + "{\"type\":";
    for size in [1, 7, 30, text.len()] {
        let (source, _) = client(200, text.as_bytes().chunks(size).map(|chunk| Ok(chunk.to_vec())).collect());
        let mut events = watch::<usize>(&source, request()).await.unwrap();
        for number in 0..5 {
            let event = events.next().await.unwrap();
            assert!(matches!(event, Some(WatchEvent::Added(found)) if found == number), "in chunks of {size}");
        }
        assert!(events.next().await.unwrap().is_none(), "what is cut is no event");
    }
}

#[tokio::test]
async fn a_watch_that_ends_without_a_proper_end_can_be_resumed_and_one_that_breaks_cannot() {
    let (ended, _) = client(200, vec![Ok(b"{".to_vec()), Err(io::ErrorKind::UnexpectedEof)]);
    assert!(watch::<usize>(&ended, request()).await.unwrap().next().await.unwrap().is_none());
    let (reset, _) = client(200, vec![Ok(b"{".to_vec()), Err(io::ErrorKind::ConnectionReset)]);
    assert!(watch::<usize>(&reset, request()).await.unwrap().next().await.is_err());
}
