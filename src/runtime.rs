//! One process: it serves its probes, stands for election, and runs the controller while it leads.

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use apicredential::object_key::Key;
use futures::{FutureExt as _, StreamExt as _};
use kube::{Client, Config};
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
use crate::http_server::{Health, Readiness, serve};
use crate::kube_api::crd_drift;
use crate::kube_api::kubeconfig::{self, Environment, Selection};
use crate::kube_api::{KubeApi, client};
use crate::lease::{LeaderElector, Leadership, identity};
use crate::metrics::Metrics;
use crate::process;
use crate::provider_client::ProviderClient;
use crate::rate_limit::{Limits, RateLimiter};
use crate::telemetry;

mod cache_hooks;
mod pulse;

use cache_hooks::CacheHooks;
use pulse::{Observed, follow, pulse};

/// While leading, the reconcile loop has to turn this often to count as alive; the pulse makes it turn.
const ALIVE: Duration = Duration::from_secs(60);
/// After a lost lease, a pair gets this long to end by itself.
const LOST_GRACE: Duration = Duration::from_secs(10);
/// After SIGTERM: 10 s for exchanges in flight and 5 s for their writes.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// Within that, after the last pair: its status and its event. A look that has sent nothing is not waited for longer.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Giving the lease up takes no longer, so that the process ends within 20 s in any case.
const RELEASE: Duration = Duration::from_secs(4);
/// A watch that says nothing for longer than the API server keeps it open is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(220);

/// Says why the process does not start; status 2.
#[expect(clippy::print_stderr, reason = "there is no log yet")]
pub fn report_startup_error(reason: impl Display) -> ExitCode {
    eprintln!("apicredential-operator: {reason}");
    ExitCode::from(2)
}

/// Runs until SIGTERM or SIGINT.
pub fn run(settings: Settings) -> ExitCode {
    if let Err(error) = telemetry::init(settings.log.format, &settings.log.filter) {
        return report_startup_error(error);
    }
    process::harden_process();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(_) => return report_startup_error("the system gives no threads"),
    };
    let code = runtime.block_on(async {
        match Process::start(settings).await {
            Ok(process) => process.main().await,
            Err(reason) => report_startup_error(reason),
        }
    });
    // What is still running then is not waited for: it is bounded, and must not hold the pod.
    runtime.shutdown_background();
    code
}

/// How a term as leader, or the wait for one, ended.
enum TermEnd {
    /// SIGTERM or SIGINT.
    Stopped,
    /// The lease is lost, and nothing is under way any more.
    Lost,
    /// The lease is lost, but an exchange has not ended.
    Stuck,
    /// The looks ended unasked.
    Broken,
}

struct Process {
    settings: Settings,
    client: Client,
    secrets: Client,
    wire: Arc<ProviderClient>,
    identity: String,
    metrics: Metrics,
    health: Health,
    in_flight: InFlight,
    session_key: Arc<[u8; 32]>,
    /// They outlive a term.
    limiter: RateLimiter<Key>,
    stop: channel::Receiver<bool>,
}

impl Process {
    async fn start(settings: Settings) -> Result<Self, String> {
        let route = settings.provider.transport.read().map_err(|error| error.to_string())?;
        let wire = Arc::new(ProviderClient::new(settings.provider.timeout, &route).map_err(|error| error.to_string())?);
        if settings.provider.transport.may_change() {
            tokio::spawn(follow(settings.provider.transport.clone(), route, Arc::clone(&wire)));
        }
        let mut config = cluster_config().await?;
        config.default_retry = false;
        config.read_timeout = Some(READ_TIMEOUT);
        config.connect_timeout = Some(Duration::from_secs(5));
        let (Ok(secrets), Ok(client)) = (client::for_secrets(&config), Client::try_from(config)) else {
            let reason = "the cluster's configuration is not usable; check the certificates and the credentials in it";
            return Err(reason.to_owned());
        };
        let mut session_key = [0_u8; 32];
        ring::rand::SystemRandom::new().fill(&mut session_key).map_err(|_| "the system gives no random numbers")?;
        let stop = stop_signal().map_err(|_| "signals cannot be received")?;
        let limits = Limits {
            in_flight: (settings.concurrency / 4).max(1),
            rate_per_second: settings.provider.rate,
            burst: settings.provider.burst,
        };
        // Nobody listens before the first term.
        let limiter = RateLimiter::new(limits, mpsc::unbounded_channel().0);
        let identity = identity();
        let process = Self {
            settings,
            client,
            secrets,
            wire,
            identity,
            metrics: Metrics::new(),
            health: Health::new(ALIVE),
            in_flight: InFlight::default(),
            session_key: Arc::new(session_key),
            limiter,
            stop,
        };
        process.listen().await?;
        Ok(process)
    }

    async fn listen(&self) -> Result<(), String> {
        let address = self.settings.listen;
        let refused = |_| format!("--listen {address} cannot be bound; choose another address or port");
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        info!(address = %bound, version = env!("CARGO_PKG_VERSION"), "listening");
        let (health, metrics) = (self.health.clone(), self.metrics.clone());
        tokio::spawn(async move {
            // Until the very end: a probe that cannot connect would end a process that is ending well.
            if serve(listener, health, metrics, std::future::pending()).await.is_err() {
                error!("probes and metrics are no longer served");
            }
        });
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
                    error!("an exchange has not ended although the lease is lost: the process ends");
                    return ExitCode::FAILURE;
                }
                TermEnd::Broken => {
                    error!("the controller has ended although nobody told it to: the process ends");
                    return ExitCode::FAILURE;
                }
                TermEnd::Stopped => return self.stop(elector.as_mut()).await,
            }
        }
    }

    /// Stands by until the lease is ours, then leads until it is lost or the process is told to stop.
    async fn term(&self, elector: Option<&mut LeaderElector>, leadership: &Leadership) -> TermEnd {
        let mut stop = self.stop.clone();
        let Some(elector) = elector else {
            self.lead(leadership, stopped(&mut stop)).await;
            return self.ended();
        };
        // Who is the only one goes straight from starting to leading: ready means that somebody acts.
        let stands_by = || self.health.set_ready(Readiness::Standby);
        tokio::select! {
            () = elector.acquired(stands_by) => {}
            () = stopped(&mut stop) => return TermEnd::Stopped,
        }
        self.health.set_ready(Readiness::Starting);
        let mut lost = false;
        // The lease goes on being renewed while a stopping controller finishes what is in flight.
        let leading = self.lead(leadership, stopped(&mut stop));
        tokio::select! {
            () = leading => {}
            () = elector.lost() => lost = true,
        }
        self.metrics.clear_credentials();
        self.metrics.machine.set_leader(false);
        if !lost {
            return self.ended();
        }
        if !*stop.borrow() {
            self.health.set_ready(Readiness::Standby);
        }
        // Nothing in flight may write any more: who is told to stop meanwhile has nothing to wait for.
        tokio::select! {
            ended = timeout(LOST_GRACE, self.pairs_end()) => if ended.is_ok() { TermEnd::Lost } else { TermEnd::Stuck },
            () = stopped(&mut stop) => TermEnd::Stopped,
        }
    }

    /// A controller ends because the process was told to stop, and for no other reason.
    fn ended(&self) -> TermEnd {
        if *self.stop.borrow() { TermEnd::Stopped } else { TermEnd::Broken }
    }

    /// Looks at credentials until `stop`, and then until what is in flight has ended or its time is up.
    async fn lead(&self, leadership: &Leadership, stop: impl Future<Output = ()>) {
        self.metrics.machine.set_leader(true);
        let (wakes, context, beside) = self.controller(leadership);
        let (stopping, mut told) = channel::channel(false);
        let looker = Arc::clone(&context);
        let looks = work_queue::run(
            wakes,
            self.settings.concurrency,
            move |key| reconcile::reconcile(key, Arc::clone(&looker)),
            // Something came through the queue and out again, be it the pulse.
            || self.health.record_progress(),
            async move {
                let _ = told.wait_for(|stop| *stop).await;
            },
        );
        let leading = async { tokio::join!(looks, self.become_ready(&context)).0 };
        let working = async {
            tokio::select! {
                () = leading => {}
                () = beside => {}
            }
        };
        let ending = async {
            stop.await;
            self.health.set_ready(Readiness::ShuttingDown);
            self.in_flight.stop();
            stopping.send_replace(true);
            let ended = async {
                self.pairs_end().await;
                sleep(LAST_WORDS).await;
            };
            // Which of both it was does not matter: whether a pair is still in flight is asked when all is over.
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
                "the API server's definition of ApiCredential is older than this operator: what is set in these fields is \
                 dropped; apply the crds/ of this version"
            );
        }
    }

    /// Of one term: who is woken, what the looks work with, and what goes on beside them.
    fn controller(
        &self,
        leadership: &Leadership,
    ) -> (mpsc::UnboundedReceiver<Key>, Arc<Context>, impl Future<Output = ()>) {
        let provider = &self.settings.provider;
        let (wake, woken) = mpsc::unbounded_channel::<Key>();
        let (turn, turns) = mpsc::unbounded_channel::<Key>();
        let limiter = self.limiter.clone();
        limiter.begin_term(turn);
        let machine = self.metrics.machine.clone();
        let hooks = CacheHooks {
            limiter: limiter.clone(),
            metrics: self.metrics.clone(),
            allowed: provider.allowed_endpoints.clone(),
            timings: self.settings.timings,
        };
        let (watch, streams) = Watch::start(&self.client, &self.settings.namespaces, wake.clone(), hooks);
        let issuer = TokenIssuer {
            kube: KubeApi::new(self.client.clone(), self.secrets.clone(), &self.identity, machine.clone()),
            providers: Arc::clone(&self.wire),
            watch,
            leadership: leadership.clone(),
            write_deadline: self.settings.lease.duration / 2,
        };
        let context = Arc::new(Context {
            issuer,
            limiter: limiter.clone(),
            metrics: self.metrics.clone(),
            in_flight: self.in_flight.clone(),
            settings: ReconcileSettings {
                allowed: provider.allowed_endpoints.clone(),
                timings: self.settings.timings,
                session_key: Arc::clone(&self.session_key),
            },
        });
        let nothing = |()| futures::future::ready(());
        let (credentials, secrets) = (streams.credentials.for_each(nothing), streams.secrets.for_each(nothing));
        let observed = Observed { machine, wire: Arc::clone(&self.wire), watch: Arc::clone(&context.issuer.watch) };
        let pulse = pulse(turns, wake, limiter, observed);
        (woken, context, futures::future::join3(credentials, secrets, pulse).map(|_| ()))
    }

    async fn pairs_end(&self) {
        while !self.in_flight.are_done() {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Nothing is in flight: the lease is given up at once. Otherwise it expires, and the next leader waits for that.
    async fn stop(&self, elector: Option<&mut LeaderElector>) -> ExitCode {
        self.health.set_ready(Readiness::ShuttingDown);
        self.in_flight.stop();
        if self.in_flight.are_done() {
            if let Some(elector) = elector
                && timeout(RELEASE, elector.release()).await.is_err()
            {
                warn!("the lease could not be given up in time: it is left to expire");
            }
        } else {
            warn!("an exchange has not ended: the lease is left to expire");
        }
        info!("stopped");
        ExitCode::SUCCESS
    }
}

/// In a pod the configuration of its service account, elsewhere that of the kubeconfig. Environment variables of proxies
/// are ignored.
async fn cluster_config() -> Result<Config, String> {
    match Config::incluster() {
        Ok(config) => Ok(config),
        Err(_) => kubeconfig_without_proxy(&Environment::of_process_without_proxies()).await,
    }
}

async fn kubeconfig_without_proxy(environment: &Environment) -> Result<Config, String> {
    let config = kubeconfig::load(&Selection::default(), environment).await;
    let config = config.map_err(|error| {
        format!(
            "no cluster is configured: {error}; run in a pod with a service account, or set KUBECONFIG to a kubeconfig with a current context"
        )
    })?;
    if config.proxy_url.is_some() {
        let reason = "the kubeconfig's cluster has a proxy-url, which the operator does not support; connect to the API server directly";
        return Err(reason.to_owned());
    }
    Ok(config)
}

async fn stopped(stop: &mut channel::Receiver<bool>) {
    // The sender lives as long as the process.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn stop_signal() -> std::io::Result<channel::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = channel::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("told to stop");
        sender.send_replace(true);
        // Kept, so that nobody mistakes a closed channel for a signal.
        sender.closed().await;
    });
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn config(cluster: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let text = format!(
            "current-context: a\ncontexts: [{{name: a, context: {{cluster: a}}}}]\nclusters: [{{name: a, cluster: {{{cluster}}}}}]\n"
        );
        std::fs::write(&path, text).unwrap();
        kubeconfig_without_proxy(&Environment { kubeconfig: path.into(), ..Environment::default() }).await
    }

    #[tokio::test]
    async fn a_kubeconfig_with_a_proxy_is_rejected_instead_of_connecting_past_the_proxy() {
        assert!(config("server: 'https://a.example'").await.is_ok());
        let proxied = config("server: 'https://a.example', proxy-url: 'http://proxy.example:3128'").await;
        assert!(proxied.unwrap_err().contains("proxy-url"));
        let none = config("").await.unwrap_err();
        assert!(none.starts_with("no cluster is configured: ") && none.contains("KUBECONFIG"), "{none}");
    }
}
