use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Barrier;

use super::*;
use crate::operator_flags;

const AT_A_TIME: usize = 4;

/// What all endpoints saw together.
struct Endpoints {
    open: AtomicUsize,
    most_open: AtomicUsize,
    group: Barrier,
}

impl Endpoints {
    /// Accepts one connection, and closes it once [`AT_A_TIME`] are open. The TLS handshake fails by that.
    async fn serve_one(self: Arc<Self>, listener: TcpListener) {
        let (stream, _) = listener.accept().await.unwrap();
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open.fetch_max(open, Ordering::SeqCst);
        self.group.wait().await;
        self.open.fetch_sub(1, Ordering::SeqCst);
        drop(stream);
    }
}

fn naming(endpoint: &str) -> ApiCredential {
    let spec = json!({
        "provider": {"type": "Qontak", "qontak": {"endpoint": endpoint, "secretRef": {"name": "login"}}},
        "target": {"name": "a-token"},
    });
    let object = json!({
        "apiVersion": "apicredential.io/v1alpha1",
        "kind": "ApiCredential",
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

#[tokio::test]
async fn four_endpoints_are_connected_to_at_a_time() {
    let seen = Arc::new(Endpoints {
        open: AtomicUsize::new(0),
        most_open: AtomicUsize::new(0),
        group: Barrier::new(AT_A_TIME),
    });
    let mut origins = Vec::new();
    for _ in 0..2 * AT_A_TIME {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        origins.push(format!("https://{}", listener.local_addr().unwrap()));
        tokio::spawn(Arc::clone(&seen).serve_one(listener));
    }
    let credentials: Vec<ApiCredential> = origins.iter().map(|origin| naming(origin)).collect();
    let allowed: Vec<String> = origins.iter().map(|origin| format!("qontak={origin}")).collect();
    let flags = ["run".to_owned(), format!("--allowed-endpoints={}", allowed.join(","))];
    let run = operator_flags::run_args(&flags, &[]).unwrap();

    let results = providers(&credentials, Some(&run), None).await.unwrap();

    // With fewer than four at a time no group would fill, and each handshake would end by its timeout instead.
    assert_eq!(results.len(), 2 * AT_A_TIME);
    for result in &results {
        assert!(result.message.contains("TlsFailed"), "{}", result.message);
    }
    assert_eq!(seen.most_open.load(Ordering::SeqCst), AT_A_TIME);
}
