//! A proxy between the operator under test and the real API server that injects faults. It forwards all requests,
//! records them, and at one chosen request does what a network, a server or a kernel may do.
//!
//! A request has three steps: it is *received* (and counted, which decides whether a planned fault applies to it), it
//! is *forwarded*, unless its client has hung up meanwhile, and it is *committed* once the API server has responded.
//! The response is returned unchanged, or otherwise, as the fault says.

pub mod call;
pub mod fault;
mod serve;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;
use tokio::sync::{oneshot, watch};

pub use self::call::{Call, ClientReply};
pub use self::fault::{Act, Fault, Site, When};
use super::certificates::CertificateAuthority;
use super::control_plane::ControlPlane;

/// What all fault proxies of one run record into, and the fault that is pending.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    /// Incremented at each cut of all watches.
    cuts: watch::Sender<usize>,
    /// True while watches are silent.
    silence: watch::Sender<bool>,
    /// True once held requests may continue.
    released: watch::Sender<bool>,
    /// Stops, kills or terminates the operator.
    control: ReplicaControl,
}

/// Applies a fault's act to a replica. Returns when that is done.
pub type ReplicaControl = Box<dyn Fn(usize, Act) + Send + Sync>;

#[derive(Default)]
struct Inner {
    calls: Vec<Call>,
    /// The number of calls from which requests count for the sites of faults; `None`: not yet.
    armed: Option<usize>,
    faults: Vec<Fault>,
    fired: Vec<(usize, Fault)>,
    in_flight: BTreeSet<usize>,
    /// Requests for these resources get this status, whatever the API server would answer.
    refused: Option<(Vec<String>, u16)>,
}

/// A request is in flight until the last clone of this is dropped.
#[derive(Clone)]
struct InFlight(Arc<Passing>);

struct Passing {
    log: Log,
    number: usize,
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.log.open().in_flight.remove(&self.number);
    }
}

impl Log {
    /// An empty log. `control` acts on the operators.
    pub fn new(control: impl Fn(usize, Act) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            inner: Mutex::default(),
            cuts: watch::Sender::new(0),
            silence: watch::Sender::new(false),
            released: watch::Sender::new(false),
            control: Box::new(control),
        }))
    }

    /// From now on requests are counted, and these faults are pending.
    pub fn arm(&self, faults: Vec<Fault>) {
        let mut inner = self.open();
        inner.armed = Some(inner.calls.len());
        inner.faults = faults;
    }

    /// The sites since [`Log::arm`], in order: where a fault could have been.
    pub fn sites(&self) -> Vec<Site> {
        let inner = self.open();
        let first = inner.armed.unwrap_or(inner.calls.len());
        (first..inner.calls.len()).map(|number| inner.site(number, first)).collect()
    }

    /// The faults that occurred, with the number of the call.
    pub fn fired(&self) -> Vec<(usize, Fault)> {
        self.open().fired.clone()
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.open().calls.clone()
    }

    /// The number of requests received so far.
    pub fn count(&self) -> usize {
        self.open().calls.len()
    }

    /// Whether the fault proxy keeps something from the operator or from the API server: watches are silent, a request
    /// waits for its fault to pass, or a request is in flight. A request ends when its client has the whole reply or
    /// has hung up, and the API server has responded. A watch that has begun is not in flight, and neither is the
    /// renewal of a lease, which nothing follows, unless it is the one with the fault.
    pub fn holds_back(&self) -> bool {
        let inner = self.open();
        let meets_fault = |number: &usize| inner.fired.iter().any(|(fired, _)| fired == number);
        let counts = |number: &usize| inner.calls[*number].resource != "leases" || meets_fault(number);
        *self.0.silence.borrow() || inner.in_flight.iter().any(counts)
    }

    /// The writes that the fault proxy has received, except those of leases.
    pub fn writes(&self) -> Vec<Call> {
        let inner = self.open();
        inner.calls.iter().filter(|call| call.is_write() && call.resource != "leases").cloned().collect()
    }

    /// Ends all watches now, as a broken connection would.
    pub fn cut_watches(&self) {
        self.0.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Silences watches, or lets them continue.
    pub fn silence_watches(&self, silent: bool) {
        self.0.silence.send_replace(silent);
    }

    /// From now on answers requests for these resources with this status, in place of the API server.
    pub fn refuse(&self, resources: &[&str], status: u16) {
        let resources = resources.iter().map(|&resource| resource.to_owned()).collect();
        self.open().refused = Some((resources, status));
    }

    /// From now on the API server answers again.
    pub fn accept(&self) {
        self.open().refused = None;
    }

    fn refusal(&self, resource: &str) -> Option<u16> {
        let inner = self.open();
        let (resources, status) = inner.refused.as_ref()?;
        resources.iter().any(|refused| refused == resource).then_some(*status)
    }

    /// Releases what is held, now and from now on.
    pub fn release(&self) {
        self.0.released.send_replace(true);
    }

    fn open(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_call(&self, number: usize, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.open().calls.get_mut(number) {
            change(call);
        }
    }

    /// Records a request, which is in flight from now on. Also returns the fault that applies to it.
    fn receive(&self, call: Call) -> (InFlight, Option<Fault>) {
        let mut inner = self.open();
        let number = inner.calls.len();
        inner.calls.push(call);
        inner.in_flight.insert(number);
        let in_flight = InFlight(Arc::new(Passing { log: self.clone(), number }));
        let Some(first) = inner.armed else { return (in_flight, None) };
        let site = inner.site(number, first);
        let Some(place) = inner.faults.iter().position(|fault| fault.site == site) else { return (in_flight, None) };
        let fault = inner.faults.remove(place);
        inner.fired.push((number, fault.clone()));
        (in_flight, Some(fault))
    }
}

impl Inner {
    fn site(&self, number: usize, first: usize) -> Site {
        let kind = self.calls[number].kind();
        let nth = self.calls[first..=number].iter().filter(|call| call.kind() == kind).count();
        let (verb, resource, name) = kind;
        Site { verb: verb.to_owned(), resource: resource.to_owned(), name: name.to_owned(), nth }
    }
}

/// A running fault proxy for one replica; stopped when dropped.
pub struct FaultProxy {
    kubeconfig: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Starts one in front of this control plane, for the replica with that number.
    pub fn start(plane: &ControlPlane, log: &Log, replica: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        let url = format!("https://{}", listener.local_addr().expect("a bound socket has an address"));
        let ca = CertificateAuthority::new("fault-proxy");
        let leaf = ca.issue(&["127.0.0.1", "localhost"]);
        let kubeconfig = plane.kubeconfig_through(&url, ca.pem());
        let upstream = serve::Upstream::new(&plane.url(), &ca_of(&plane.admin_kubeconfig()));
        let (stop, stopped) = oneshot::channel();
        let log = log.clone();
        let thread = std::thread::spawn(move || serve::serve(listener, &leaf, &upstream, &log, replica, stopped));
        Self { kubeconfig, stop: Some(stop), thread: Some(thread) }
    }

    /// The operator's kubeconfig that leads through this fault proxy.
    pub fn kubeconfig(&self) -> &PathBuf {
        &self.kubeconfig
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// The CA that a kubeconfig trusts, PEM.
fn ca_of(kubeconfig: &std::path::Path) -> String {
    use base64::Engine as _;
    let text = std::fs::read_to_string(kubeconfig).expect("the kubeconfig is readable");
    let config: Value = serde_json::from_str(&text).expect("our kubeconfigs are JSON");
    let encoded = config["clusters"][0]["cluster"]["certificate-authority-data"].as_str().expect("it names its CA");
    String::from_utf8(base64::prelude::BASE64_STANDARD.decode(encoded).expect("base64")).expect("PEM is text")
}
