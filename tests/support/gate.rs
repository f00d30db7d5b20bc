//! A gate in front of the real API server: the operator under test talks to it, and it passes on what it is asked,
//! writes everything down, and does at one chosen request what a network, a server or a kernel may do.
//!
//! A request passes in three steps: it is *received* (and counted, which decides whether a planned fault is its turn),
//! it is *forwarded*, unless its client has hung up meanwhile, and it is *committed* once the API server has answered.
//! The answer goes back as it came, or otherwise, as the fault says.

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

pub use self::call::{Call, Told};
pub use self::fault::{Act, Fault, Site, When};
use super::certificates::Authority;
use super::control_plane::ControlPlane;

/// What all gates of one run write into, and the fault that waits in it.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    /// Counts up at each cut of all watches.
    cuts: watch::Sender<usize>,
    /// True while watches say nothing.
    silence: watch::Sender<bool>,
    /// True once requests that are held may go on.
    released: watch::Sender<bool>,
    /// Stops, kills or tells the operator.
    hand: Hand,
}

/// Does to a replica what a fault says; returns when it is done.
pub type Hand = Box<dyn Fn(usize, Act) + Send + Sync>;

#[derive(Default)]
struct Inner {
    calls: Vec<Call>,
    /// Since when requests count for the faults' sites; none: not yet.
    armed: Option<usize>,
    faults: Vec<Fault>,
    fired: Vec<(usize, Fault)>,
    in_flight: BTreeSet<usize>,
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
    /// An empty one; `hand` reaches the operators.
    pub fn new(hand: impl Fn(usize, Act) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            inner: Mutex::default(),
            cuts: watch::Sender::new(0),
            silence: watch::Sender::new(false),
            released: watch::Sender::new(false),
            hand: Box::new(hand),
        }))
    }

    /// From now on requests are counted, and these faults wait for their turn.
    pub fn arm(&self, faults: Vec<Fault>) {
        let mut inner = self.open();
        inner.armed = Some(inner.calls.len());
        inner.faults = faults;
    }

    /// The sites that were met since [`Log::arm`], in order: where a fault could have been.
    pub fn sites(&self) -> Vec<Site> {
        let inner = self.open();
        let first = inner.armed.unwrap_or(inner.calls.len());
        (first..inner.calls.len()).map(|number| inner.site(number, first)).collect()
    }

    /// The faults that had their turn, with the number of the call.
    pub fn fired(&self) -> Vec<(usize, Fault)> {
        self.open().fired.clone()
    }

    /// Everything so far.
    pub fn calls(&self) -> Vec<Call> {
        self.open().calls.clone()
    }

    /// How many requests were received so far.
    pub fn count(&self) -> usize {
        self.open().calls.len()
    }

    /// Whether the gate keeps something from the operator or from the API server: watches are silent, a request waits
    /// for its fault to pass, or a request is in flight. A request ends when its client has the whole reply or has hung
    /// up, and the API server has answered. A watch that has begun is not in flight, and neither is the renewal of a
    /// lease, which nothing follows, unless it is the one that meets a fault.
    pub fn holds_back(&self) -> bool {
        let inner = self.open();
        let meets_fault = |number: &usize| inner.fired.iter().any(|(fired, _)| fired == number);
        let counts = |number: &usize| inner.calls[*number].resource != "leases" || meets_fault(number);
        *self.0.silence.borrow() || inner.in_flight.iter().any(counts)
    }

    /// The writes that the gate has received, but for those of leases.
    pub fn writes(&self) -> Vec<Call> {
        let inner = self.open();
        inner.calls.iter().filter(|call| call.is_write() && call.resource != "leases").cloned().collect()
    }

    /// Ends all watches now, as a broken connection would.
    pub fn cut_watches(&self) {
        self.0.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Lets watches say nothing, or speak again.
    pub fn silence_watches(&self, silent: bool) {
        self.0.silence.send_replace(silent);
    }

    /// Lets go what is held, now and from now on.
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

    /// Writes a request down, which is in flight from now on. Returns the fault whose turn has come, too.
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

/// A running gate for one replica; ended when dropped.
pub struct Gate {
    kubeconfig: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    /// Starts one before this control plane, for the replica of that number.
    pub fn start(plane: &ControlPlane, log: &Log, replica: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        let url = format!("https://{}", listener.local_addr().expect("a bound socket has an address"));
        let authority = Authority::new("gate");
        let leaf = authority.issue(&["127.0.0.1", "localhost"]);
        let kubeconfig = plane.kubeconfig_by_way_of(&url, authority.pem());
        let upstream = serve::Upstream::new(&plane.url(), &authority_of(&plane.admin_kubeconfig()));
        let (stop, stopped) = oneshot::channel();
        let log = log.clone();
        let thread = std::thread::spawn(move || serve::serve(listener, &leaf, &upstream, &log, replica, stopped));
        Self { kubeconfig, stop: Some(stop), thread: Some(thread) }
    }

    /// The operator's kubeconfig, by way of this gate.
    pub fn kubeconfig(&self) -> &PathBuf {
        &self.kubeconfig
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// The authority that a kubeconfig trusts, PEM.
fn authority_of(kubeconfig: &std::path::Path) -> String {
    use base64::Engine as _;
    let text = std::fs::read_to_string(kubeconfig).expect("the kubeconfig is readable");
    let config: Value = serde_json::from_str(&text).expect("our kubeconfigs are JSON");
    let encoded =
        config["clusters"][0]["cluster"]["certificate-authority-data"].as_str().expect("it names its authority");
    String::from_utf8(base64::prelude::BASE64_STANDARD.decode(encoded).expect("base64")).expect("PEM is text")
}
