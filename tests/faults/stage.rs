//! The environment of one run: a namespace, a provider, one or two replicas behind fault proxies, and a log of
//! everything.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apicredential::api::Provider;
use apicredential_operator::clock;
use serde_json::json;

use crate::history::{Exchange, History, Intervention, Timings, What};
use crate::recorder::Recorder;
use crate::support::fault_proxy::{Act, FaultProxy, Log};
use crate::support::leaks::Sentinels;
use crate::support::old_tokens;
use crate::support::operator::{Operator, Settings};
use crate::support::provider::{Client, MockProvider, Reply};
use crate::support::random;
use crate::support::space::{self, Space};

/// The shortest lease that is allowed, and what fits into it.
pub const LEASE: Duration = Duration::from_secs(24);
const RETRY_BASE: Duration = Duration::from_millis(250);
/// How often the run checks for ended replicas, to start them again as a kubelet does.
const RESTART: Duration = Duration::from_millis(100);

/// The name of the ApiCredential in every run.
pub const NAME: &str = "a";

/// The environment of one run.
pub struct Stage {
    pub space: Space,
    pub mock_provider: MockProvider,
    /// The ApiCredential's client at the provider.
    pub client: Client,
    provider: Provider,
    pub log: Log,
    replicas: Replicas,
    recorder: Recorder,
    sentinels: Mutex<Vec<String>>,
    supervisor: Mutex<Option<tokio::task::JoinHandle<()>>>,
    _proxies: Vec<FaultProxy>,
}

/// The replicas, and what was done to them.
#[derive(Clone)]
struct Replicas(Arc<Mutex<Inner>>);

struct Inner {
    settings: Vec<Settings>,
    running: Vec<Option<Operator>>,
    interventions: Vec<Intervention>,
    /// How long a replica is stopped.
    pause: Duration,
}

impl Stage {
    /// An empty namespace, and this many replicas that are not started yet.
    pub async fn new(provider: Provider, replicas: usize, pause: Duration) -> Self {
        let (space, mock_provider) = (Space::new().await, MockProvider::start());
        let recorder = Recorder::start(&space.client, &space.name).await;
        let name = space.unique(NAME);
        let client = match provider {
            Provider::Welkin => mock_provider.welkin(&name),
            Provider::Qontak => mock_provider.qontak(&name),
        };
        let hands = Replicas(Arc::new(Mutex::new(Inner {
            settings: Vec::new(),
            running: (0..replicas).map(|_| None).collect(),
            interventions: Vec::new(),
            pause,
        })));
        let log = Log::new({
            let hands = hands.clone();
            move |replica, act| hands.lay_on(replica, act)
        });
        let proxies: Vec<FaultProxy> =
            (0..replicas).map(|replica| FaultProxy::start(&space.plane, &log, replica)).collect();
        hands.open().settings =
            proxies.iter().map(|proxy| settings(&space, &mock_provider).kubeconfig(proxy.kubeconfig())).collect();
        Self {
            space,
            mock_provider,
            client,
            provider,
            log,
            replicas: hands,
            recorder,
            sentinels: Mutex::default(),
            supervisor: Mutex::default(),
            _proxies: proxies,
        }
    }

    /// Records an intervention that happens now.
    pub fn note(&self, what: What) {
        self.replicas.note(what);
    }

    /// Applies a fault's act to a replica.
    pub fn control(&self) -> impl Fn(usize, Act) + Send + Sync + 'static {
        let replicas = self.replicas.clone();
        move |replica, act| replicas.lay_on(replica, act)
    }

    /// A secret that is unique, and that must not appear anywhere.
    pub fn new_secret(&self) -> String {
        let secret = format!("sentinel {}", random::suffix());
        self.sentinels.lock().unwrap_or_else(PoisonError::into_inner).push(secret.clone());
        secret
    }

    /// Writes this secret to the ApiCredential's source. The provider accepts it from now on.
    pub async fn source(&self, secret: &str) {
        self.client.accept(secret);
        self.note(What::Source { credential: NAME.to_owned() });
        let source = format!("{NAME}-source");
        match self.provider {
            Provider::Welkin => self.space.source_welkin(&source, secret).await,
            Provider::Qontak => self.space.source_qontak(&source, self.client.name(), secret).await,
        };
    }

    /// Creates the ApiCredential.
    pub async fn credential(&self) {
        self.note(What::Spec { credential: NAME.to_owned(), request: true });
        let manifest = match self.provider {
            Provider::Welkin => space::welkin(NAME, &self.client, &self.mock_provider),
            Provider::Qontak => {
                let mut manifest = space::qontak(NAME, &self.mock_provider);
                manifest["spec"]["verification"] = json!({"interval": "5m"});
                manifest
            }
        };
        self.space.apply(&manifest).await;
    }

    /// Shifts the times stored with the token an hour back, which needs the stored token.
    pub async fn age_token(&self) {
        self.note(What::Aged { credential: NAME.to_owned() });
        old_tokens::shift(&self.space, NAME, -3600).await;
    }

    /// Terminates a replica, which releases its lease.
    pub async fn stop(&self, replica: usize) {
        let running = self.replicas.open().running[replica].take();
        self.note(What::Terminated { replica });
        if let Some(operator) = running {
            operator.terminate(Duration::from_secs(30)).await;
        }
        self.note(What::Ended { replica });
    }

    /// How often a replica was started.
    pub fn starts(&self) -> usize {
        let inner = self.replicas.open();
        inner.interventions.iter().filter(|intervention| matches!(intervention.what, What::Started { .. })).count()
    }

    /// Starts a replica without waiting for it.
    pub fn start(&self, replica: usize) {
        self.replicas.start(replica);
    }

    /// From now on replicas that have ended are started again.
    pub fn supervise(&self) {
        let replicas = self.replicas.clone();
        let task = tokio::spawn(async move {
            loop {
                replicas.restart_the_ended();
                tokio::time::sleep(RESTART).await;
            }
        });
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
    }

    /// Waits until a replica's `/readyz` has this text.
    pub async fn wait_for_readyz(&self, replica: usize, text: &str) {
        let output = || self.replicas.open().running[replica].as_ref().map(Operator::shared_output);
        self.space
            .wait_for(&format!("replica {replica} reports {text:?}"), async || {
                let (_, said) = output()?.get("/readyz").await?;
                said.starts_with(text).then_some(())
            })
            .await;
    }

    /// SIGTERM.
    pub fn send_sigterm(&self, replica: usize) {
        self.replicas.lay_on(replica, Act::Terminate);
    }

    /// Whether all replicas run and none is stopped.
    pub fn all_run(&self) -> bool {
        let inner = self.replicas.open();
        let paused =
            inner.interventions.iter().filter(|intervention| matches!(intervention.what, What::Paused { .. })).count();
        let resumed =
            inner.interventions.iter().filter(|intervention| matches!(intervention.what, What::Resumed { .. })).count();
        paused == resumed && inner.running.iter().flatten().all(Operator::is_running)
    }

    /// Whether every running replica responds to a request to one of its own pages, with any status.
    pub async fn all_answer(&self) -> bool {
        let outputs: Vec<_> = self.replicas.open().running.iter().flatten().map(Operator::shared_output).collect();
        for output in outputs {
            if output.get("/readyz").await.is_none() {
                return false;
            }
        }
        true
    }

    /// Stops the replicas, and returns the whole history.
    pub async fn end(&self) -> History {
        if let Some(task) = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
        self.replicas.open().running.iter_mut().for_each(|operator| drop(operator.take()));
        self.history()
    }

    /// The history so far.
    pub fn history(&self) -> History {
        let tokens = self.client.tokens();
        let expires = |text: &Option<String>| tokens.iter().find(|token| Some(&token.text) == text.as_ref())?.expires;
        let exchanges = self.client.requests().into_iter().map(|request| Exchange {
            at: request.at,
            client: self.client.name().to_owned(),
            expires: expires(&request.token),
            answered: request.whole,
            tenant: request.tenant,
            secret: request.secret,
            status: request.status,
            token: request.token,
        });
        History {
            timings: Timings {
                retry_base: RETRY_BASE,
                min_renewal_interval: Duration::from_secs(1),
                lease_duration: LEASE,
                provider_rate: 10.0,
                provider_burst: 20,
            },
            calls: self.log.calls(),
            versions: self.recorder.versions(),
            exchanges: exchanges.collect(),
            interventions: self.interventions(),
            ended: clock::now(),
        }
    }

    /// What users did, and the faults that occurred.
    fn interventions(&self) -> Vec<Intervention> {
        let (mut interventions, calls) = (self.replicas.open().interventions.clone(), self.log.calls());
        interventions.extend(self.log.fired().into_iter().map(|(number, fault)| Intervention {
            at: calls[number].received,
            what: What::Fault { name: fault.to_string() },
        }));
        interventions.sort_by_key(|intervention| intervention.at);
        interventions
    }

    /// Which secrets and tokens appeared where they must not.
    pub async fn leaks(&self) -> Vec<String> {
        let secrets = self.sentinels.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tokens = self.client.tokens();
        let all = secrets.iter().map(|secret| ("a source's secret", secret.as_str()));
        let all = all.chain(tokens.iter().map(|token| ("a token", token.text.as_str())));
        self.space.leaks(&Sentinels::new(all)).await
    }
}

fn settings(space: &Space, mock_provider: &MockProvider) -> Settings {
    Settings::new(space, mock_provider)
        .flag("--retry-base", "250ms")
        .flag("--min-renewal-interval", "1s")
        .flag("--provider-timeout", "2s")
        .flag("--lease-duration", "24s")
}

impl Replicas {
    fn open(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, what: What) {
        self.open().interventions.push(Intervention { at: clock::now(), what });
    }

    fn start(&self, replica: usize) {
        let mut inner = self.open();
        let operator = inner.settings[replica].spawn();
        inner.running[replica] = Some(operator);
        inner.interventions.push(Intervention { at: clock::now(), what: What::Started { replica } });
    }

    fn restart_the_ended(&self) {
        let ended: Vec<usize> = {
            let inner = self.open();
            let ended = |operator: &Option<Operator>| operator.as_ref().is_some_and(|it| !it.is_running());
            (0..inner.running.len()).filter(|&replica| ended(&inner.running[replica])).collect()
        };
        for replica in ended {
            let noted = self.open().interventions.iter().rev().find_map(|intervention| match intervention.what {
                What::Started { replica: it } if it == replica => Some(false),
                What::Ended { replica: it } if it == replica => Some(true),
                _ => None,
            });
            if noted != Some(true) {
                self.note(What::Ended { replica });
            }
            self.start(replica);
        }
    }

    /// Kills, terminates or stops a running replica.
    fn lay_on(&self, replica: usize, act: Act) {
        let mut inner = self.open();
        let what = match act {
            Act::Kill => What::Ended { replica },
            Act::Terminate => What::Terminated { replica },
            _ => What::Paused { replica },
        };
        inner.interventions.push(Intervention { at: clock::now(), what });
        let pause = inner.pause;
        let Some(operator) = inner.running[replica].as_ref() else { return };
        match act {
            Act::Kill => drop(operator.kill()),
            Act::Terminate => operator.send_sigterm(),
            _ => {
                operator.pause();
                let replicas = self.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(pause);
                    let mut inner = replicas.open();
                    if let Some(operator) = inner.running[replica].as_ref() {
                        operator.resume();
                    }
                    inner.interventions.push(Intervention { at: clock::now(), what: What::Resumed { replica } });
                });
            }
        }
    }
}
