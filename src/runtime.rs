//! The process of the operator: it serves probes and metrics, takes part in the leader election, and runs the controller while
//! it leads.

use std::fmt::Display;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use apicredential::object_key::Key;
use futures::{FutureExt as _, StreamExt as _};
use kube::Client;
use ring::rand::SecureRandom as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch as channel};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::cli::Settings;
use crate::controller::context::{Context, InFlight, ReconcileSettings};
use crate::controller::reconcile;
use crate::controller::token_issuer::TokenIssuer;
use crate::controller::watch::Watch;
use crate::controller::work_queue;
use crate::http_server::{Health, Readiness, serve_health, serve_metrics};
use crate::kube_api::crd_drift;
use crate::kube_api::{KubeApi, client};
use crate::lease::{LeaderElector, Leadership, identity};
use crate::metrics::Metrics;
use crate::process;
use crate::provider_client::ProviderClient;
use crate::rate_limit::{Limits, RateLimiter};
use crate::telemetry;

mod cache_hooks;
mod cluster_config;
mod heartbeat;

use cache_hooks::CacheHooks;
use cluster_config::cluster_config;
use heartbeat::{Observed, heartbeat, watch_files};

/// A leader counts as alive if its reconcile loop made progress within this time. The heartbeat enqueues a key more often.
const PROGRESS_LIMIT: Duration = Duration::from_secs(60);
/// Time for work in progress after a signal: token requests, and the writes that follow. A write that has started gets what
/// remains of it.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// Time, within [`STOP_GRACE`], for statuses and events after the last token exchange has ended. Reconciles that are still
/// running then are dropped.
const STATUS_GRACE: Duration = Duration::from_secs(3);
/// Time for releasing the lease. With it, the process ends within 20 s after a signal.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(4);
/// A watch without data for this time is dead, because the API server ends each watch earlier.
const READ_TIMEOUT: Duration = Duration::from_secs(220);

/// Prints why the process does not start, and returns exit code 2.
#[expect(clippy::print_stderr, reason = "logging has not started")]
pub fn report_startup_error(reason: impl Display) -> ExitCode {
    eprintln!("apicredential-operator: {reason}");
    ExitCode::from(2)
}

/// Runs the operator until SIGTERM or SIGINT.
pub fn run(settings: Settings) -> ExitCode {
    if let Err(error) = telemetry::init(settings.log.format, &settings.log.filter) {
        return report_startup_error(error);
    }
    process::harden_process();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(_) => {
            return report_startup_error(
                "the async runtime cannot be created; check the limits of the container for processes and open files",
            );
        }
    };
    let code = runtime.block_on(async {
        match Process::start(settings).await {
            Ok(process) => process.main().await,
            Err(reason) => report_startup_error(reason),
        }
    });
    // Does not wait for tasks that are still running. They are bounded in time and must not delay the end of the pod.
    runtime.shutdown_background();
    code
}

/// How a leader term, or the wait for one, ended.
enum TermEnd {
    /// The process received SIGTERM or SIGINT.
    Stopped,
    /// The lease was lost, and no token exchange is in progress any more.
    Lost,
    /// The lease was lost, and a token exchange has not ended 5 s before the end of the lease.
    Stuck,
    /// The controller ended without a signal.
    Broken,
}

struct Process {
    settings: Settings,
    client: Client,
    secrets: Client,
    provider_client: Arc<ProviderClient>,
    identity: String,
    metrics: Metrics,
    health: Health,
    in_flight: InFlight,
    session_key: Arc<[u8; 32]>,
    /// Kept across terms, so that a new term does not allow more requests.
    rate_limiter: RateLimiter<Key>,
    stop: channel::Receiver<bool>,
}

impl Process {
    async fn start(settings: Settings) -> Result<Self, String> {
        let transport = settings.provider.transport.read_at_start().map_err(|error| error.to_string())?;
        let provider_client = ProviderClient::new(settings.provider.timeout, &transport);
        let provider_client = Arc::new(provider_client.map_err(|error| error.to_string())?);
        if settings.provider.transport.may_change() {
            tokio::spawn(watch_files(settings.provider.transport.clone(), transport, Arc::clone(&provider_client)));
        }
        let mut config = cluster_config().await?;
        config.default_retry = false;
        config.read_timeout = Some(READ_TIMEOUT);
        config.connect_timeout = Some(Duration::from_secs(5));
        let (Ok(secrets), Ok(client)) = (client::for_secrets(&config), Client::try_from(config)) else {
            let reason = "the configuration for the API server cannot be used; correct its certificates and its login";
            return Err(reason.to_owned());
        };
        let mut session_key = [0_u8; 32];
        ring::rand::SystemRandom::new()
            .fill(&mut session_key)
            .map_err(|_| "the system's random number generator failed")?;
        let stop = stop_signal().map_err(|_| "the handlers for SIGTERM and SIGINT cannot be installed")?;
        let limits = Limits {
            in_flight: (settings.concurrency / 4).max(1),
            rate_per_second: settings.provider.rate,
            burst: settings.provider.burst,
        };
        // The channel is replaced when the first term begins.
        let rate_limiter = RateLimiter::new(limits, mpsc::unbounded_channel().0);
        let identity = identity();
        let process = Self {
            settings,
            client,
            secrets,
            provider_client,
            identity,
            metrics: Metrics::new(),
            health: Health::new(PROGRESS_LIMIT),
            in_flight: InFlight::default(),
            session_key: Arc::new(session_key),
            rate_limiter,
            stop,
        };
        process.listen().await?;
        Ok(process)
    }

    async fn listen(&self) -> Result<(), String> {
        let (metrics, metrics_address) = bind("--listen", self.settings.listen).await?;
        let (health, health_address) = bind("--health-listen", self.settings.health_listen).await?;
        info!(address = %metrics_address, %health_address, version = env!("CARGO_PKG_VERSION"), "listening");
        // Until the process ends: if a probe cannot connect, the kubelet kills a process that is shutting down in order.
        tokio::spawn(serve_metrics(metrics, self.metrics.clone()));
        tokio::spawn(serve_health(health, self.health.clone()));
        Ok(())
    }

    async fn main(self) -> ExitCode {
        let (mut elector, leadership) = match self.settings.lease.election.clone() {
            None => (None, Leadership::always()),
            Some(mut lease) => {
                lease.identity.clone_from(&self.identity);
                let (elector, leadership) = LeaderElector::new(self.client.clone(), lease);
                (Some(elector), leadership)
            }
        };
        loop {
            match self.term(elector.as_mut(), &leadership).await {
                TermEnd::Lost => {}
                TermEnd::Stuck => {
                    error!(
                        "the lease was lost and a token exchange has not ended in time; exiting, so that it cannot write later"
                    );
                    return ExitCode::FAILURE;
                }
                TermEnd::Broken => {
                    error!("the controller ended unexpectedly; exiting, so that the container is restarted");
                    return ExitCode::FAILURE;
                }
                TermEnd::Stopped => return self.stop(elector.as_mut()).await,
            }
        }
    }

    /// Waits for the lease, then leads until the lease is lost or the process receives a signal.
    async fn term(&self, elector: Option<&mut LeaderElector>, leadership: &Leadership) -> TermEnd {
        let mut stop = self.stop.clone();
        let Some(elector) = elector else {
            self.lead(leadership, stopped(&mut stop)).await;
            return self.ended();
        };
        // Not called without another leader: a single replica becomes ready only when it leads.
        let on_standby = || self.health.set_ready(Readiness::Standby);
        tokio::select! {
            () = elector.acquired(on_standby) => {}
            () = stopped(&mut stop) => return TermEnd::Stopped,
        }
        self.health.set_ready(Readiness::Starting);
        let mut lost = None;
        // The lease is still renewed while a stopping controller finishes work in progress.
        let leading = self.lead(leadership, stopped(&mut stop));
        tokio::select! {
            () = leading => {}
            write_time = elector.lost() => lost = Some(write_time),
        }
        self.metrics.clear_credentials();
        self.metrics.operator.set_leader(false);
        let Some(write_time) = lost else { return self.ended() };
        if !*stop.borrow() {
            self.health.set_ready(Readiness::Standby);
        }
        // A write that has started ends in this time. No other may start, so a signal ends the wait.
        tokio::select! {
            ended = timeout(write_time, self.exchanges_ended()) => if ended.is_ok() { TermEnd::Lost } else { TermEnd::Stuck },
            () = stopped(&mut stop) => TermEnd::Stopped,
        }
    }

    /// A controller must end only after a signal.
    fn ended(&self) -> TermEnd {
        if *self.stop.borrow() { TermEnd::Stopped } else { TermEnd::Broken }
    }

    /// Runs the controller until `stop`, and then until work in progress has ended or its time is up.
    async fn lead(&self, leadership: &Leadership, stop: impl Future<Output = ()>) {
        self.metrics.operator.set_leader(true);
        let (enqueued, context, background) = self.controller(leadership);
        let (queue_stop, mut queue_stopped) = channel::channel(false);
        let reconcile_context = Arc::clone(&context);
        let reconciles = work_queue::run(
            enqueued,
            self.settings.concurrency,
            move |key| reconcile::reconcile(key, Arc::clone(&reconcile_context)),
            // A key came through the queue, possibly that of the heartbeat.
            || self.health.record_progress(),
            async move {
                let _ = queue_stopped.wait_for(|stop| *stop).await;
            },
        );
        let leading = async { tokio::join!(reconciles, self.become_ready(&context)).0 };
        let working = async {
            tokio::select! {
                () = leading => {}
                () = background => {}
            }
        };
        let ending = async {
            stop.await;
            self.health.set_ready(Readiness::ShuttingDown);
            self.in_flight.stop();
            queue_stop.send_replace(true);
            let ended = async {
                self.exchanges_ended().await;
                sleep(STATUS_GRACE).await;
            };
            // The result does not matter: `stop` checks whether a token exchange is still in progress.
            let _ = timeout(STOP_GRACE, ended).await;
        };
        tokio::select! {
            () = working => {}
            () = ending => {}
        }
    }

    async fn become_ready(&self, context: &Context) {
        context.issuer.watch.ready().await;
        if !*self.stop.borrow() {
            self.health.set_ready(Readiness::Leading);
        }
        let missing = crd_drift::missing_fields(&self.client).await;
        if !missing.is_empty() {
            warn!(
                missing = missing.join(", "),
                "the CRD of ApiCredential in the cluster is older than this operator, so the API server prunes these fields; \
                 apply the CRD in crds/ of this version"
            );
        }
    }

    /// The parts of the controller for one term: the keys to reconcile, the context of a reconcile, and a future with the
    /// watches and the heartbeat.
    fn controller(
        &self,
        leadership: &Leadership,
    ) -> (mpsc::UnboundedReceiver<Key>, Arc<Context>, impl Future<Output = ()>) {
        let (enqueue, enqueued) = mpsc::unbounded_channel::<Key>();
        let (admit, admitted) = mpsc::unbounded_channel::<Key>();
        let limiter = self.rate_limiter.clone();
        limiter.begin_term(admit);
        let operator_metrics = self.metrics.operator.clone();
        let allowed = Arc::new(self.settings.allow_lists());
        let hooks = CacheHooks {
            limiter: limiter.clone(),
            metrics: self.metrics.clone(),
            allowed: Arc::clone(&allowed),
            timings: self.settings.timings,
        };
        let (watch, streams) = Watch::start(&self.client, &self.settings.namespaces, enqueue.clone(), hooks);
        let issuer = TokenIssuer {
            kube: KubeApi::new(self.client.clone(), self.secrets.clone(), &self.identity, operator_metrics.clone()),
            providers: Arc::clone(&self.provider_client),
            watch,
            leadership: leadership.clone(),
            allowed: Arc::clone(&allowed),
            write_deadline: self.settings.lease.duration / 2,
        };
        let context = Arc::new(Context {
            issuer,
            limiter: limiter.clone(),
            metrics: self.metrics.clone(),
            in_flight: self.in_flight.clone(),
            settings: ReconcileSettings {
                allowed,
                timings: self.settings.timings,
                session_key: Arc::clone(&self.session_key),
            },
        });
        let nothing = |()| futures::future::ready(());
        let (credentials, secrets) = (streams.credentials.for_each(nothing), streams.secrets.for_each(nothing));
        let observed = Observed {
            metrics: operator_metrics,
            provider_client: Arc::clone(&self.provider_client),
            watch: Arc::clone(&context.issuer.watch),
        };
        let heartbeat = heartbeat(admitted, enqueue, limiter, observed);
        (enqueued, context, futures::future::join3(credentials, secrets, heartbeat).map(|_| ()))
    }

    async fn exchanges_ended(&self) {
        while !self.in_flight.are_done() {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Releases the lease if no token exchange is in progress. Otherwise the lease expires, and another replica takes over then.
    async fn stop(&self, elector: Option<&mut LeaderElector>) -> ExitCode {
        self.health.set_ready(Readiness::ShuttingDown);
        self.in_flight.stop();
        if self.in_flight.are_done() {
            if let Some(elector) = elector
                && timeout(RELEASE_TIMEOUT, elector.release()).await.is_err()
            {
                warn!("the lease was not released in time and will expire; another replica takes over then");
            }
        } else {
            warn!("a token exchange has not ended; the lease is not released and will expire");
        }
        info!("stopped");
        ExitCode::SUCCESS
    }
}

async fn bind(flag: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let error = |_| format!("{flag} {address} cannot be bound; choose another address or port");
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    Ok((listener, bound))
}

async fn stopped(stop: &mut channel::Receiver<bool>) {
    // This cannot fail, because the sender lives as long as the process.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn stop_signal() -> std::io::Result<channel::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = channel::channel(false);
    tokio::spawn(async move {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal, "shutting down");
        sender.send_replace(true);
        // Keeps the sender, because a closed channel would count as a signal.
        sender.closed().await;
    });
    Ok(receiver)
}
