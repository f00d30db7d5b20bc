//! One incident from the first rejection to the last replica's end, as a real Prometheus sees it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use apicredential_operator::clock;
use jiff::SignedDuration;
use serde_json::json;

use crate::expressions::{self, FileKind, text};
use crate::metrics::{ALL, of_series};
use crate::prometheus::{Prometheus, shortened_rules};
use crate::support::control_plane::{Content, ControlPlane};
use crate::support::operator::{Operator, Settings};
use crate::support::provider::{Client, MockProvider, Reply};
use crate::support::space::{self, Space};

/// Expressions that return nothing here, and why.
const SILENT: [(&str, &str); 1] =
    [("node_timex_offset_seconds", "the node exporter's, which this machine need not run")];

const JOB: &str = "apicredential-operator";
/// An operator of its own, on which nothing happens.
const QUIET: &str = "quiet";

struct Incident {
    prometheus: Prometheus,
    plane: Arc<ControlPlane>,
    space: Space,
    settings: Settings,
    /// Working except for one client, throttling, and failing.
    well: MockProvider,
    slow: MockProvider,
    broken: MockProvider,
}

#[tokio::test]
async fn through_an_incident_every_expression_returns_data_and_the_alerts_fire_that_should() {
    let incident = Incident::begin().await;
    let first = incident.replica(JOB, &incident.settings).await;
    let quiet = Quiet::begin(&incident).await;
    incident.all_is_well().await;
    let troubled = incident.trouble_with_providers().await;
    incident.recovery(&troubled).await;
    incident.a_wrong_clock().await;
    incident.fires("ApiCredentialReconcilerStuck", &format!("job=\"{QUIET}\"")).await;
    incident.lost_watches().await;
    incident.lost_replicas(first, quiet.replica).await;

    incident.assert_names().await;
    incident.assert_data().await;
    incident.assert_alerts().await;
}

/// A replica and where it is scraped.
type Replica = (Operator, String);

/// An operator on which nothing happens once its one ApiCredential is ready.
struct Quiet {
    _space: Space,
    _mock_provider: MockProvider,
    replica: Replica,
}

impl Quiet {
    async fn begin(incident: &Incident) -> Self {
        let (space, mock_provider) = (Space::on(Arc::clone(&incident.plane)).await, MockProvider::start());
        let replica = incident.replica(QUIET, &Settings::new(&space, &mock_provider).patient()).await;
        space.first_token("quiet", &mock_provider).await;
        Self { _space: space, _mock_provider: mock_provider, replica }
    }
}

/// Those whose provider fails.
struct Troubled {
    rejected: Client,
    throttled: Client,
    failing: Client,
}

impl Incident {
    async fn begin() -> Self {
        let prometheus = Prometheus::start(&shortened_rules()).await;
        let plane = Arc::new(ControlPlane::start(Content::Installed).await.unwrap());
        let space = Space::on(Arc::clone(&plane)).await;
        let [well, slow, broken] = [(); 3].map(|()| MockProvider::start());
        let settings = Settings::new(&space, &well).endpoints(&[&well, &slow, &broken], &[]);
        let settings = settings.flag("--min-renewal-interval", "1s").flag("--retry-base", "100ms");
        // The lease must not be lost while the API server is down, nor taken over before the alert has fired.
        let settings = settings.flag("--lease-duration", "180s");
        Self { prometheus, plane, space, settings, well, slow, broken }
    }

    /// Starts a replica and has it scraped.
    async fn replica(&self, job: &str, settings: &Settings) -> Replica {
        let operator = settings.start().await;
        let address = operator.shared_output().address().expect("it reported its address");
        self.prometheus.scrape(job, &address);
        (operator, address)
    }

    /// Short-lived tokens, one that is valid for an hour, and one that expires while its ApiCredential is suspended.
    async fn all_is_well(&self) {
        let brief = self.well.welkin(&self.space.unique("brief"));
        brief.lifetime(9.0);
        self.space.first_token("brief", &self.well).await;
        self.space.first_token("hour", &self.well).await;
        let suspended = self.well.welkin(&self.space.unique("suspended"));
        suspended.lifetime(15.0);
        self.space.first_token("suspended", &self.well).await;
        self.space.patch("suspended", &json!({"spec": {"suspend": true}})).await;
        self.space.wait_for("renewals", async || (brief.count() >= 3).then_some(())).await;
        self.space.wait_condition("suspended", "Ready", "False/TokenExpired").await;
    }

    async fn trouble_with_providers(&self) -> Troubled {
        let rejected = self.well.welkin(&self.space.unique("rejected"));
        rejected.next(Reply::token().lifetime(20.0)).always(Reply::error(401));
        self.space.first_token("rejected", &self.well).await;
        let throttled = self.slow.welkin(&self.space.unique("throttled"));
        throttled.always(Reply::error(429).header("retry-after", "1"));
        self.space.source_welkin("throttled-source", "any").await;
        self.space.apply(&space::welkin("throttled", &throttled, &self.slow)).await;
        let failing = self.broken.qontak(&self.space.unique("failing"));
        failing.always(Reply::error(500));
        self.space.source_qontak("failing-source", failing.name(), "any").await;
        self.space.apply(&space::qontak("failing", &self.broken)).await;

        self.fires("ApiCredentialsRejected", "provider=\"Welkin\"").await;
        for alert in ["RenewalOverdue", "ExpiringSoon", "NotReady"] {
            self.fires(&format!("ApiCredential{alert}"), "resource_name=\"rejected\"").await;
        }
        self.fires("ApiCredentialNotReady", "resource_name=\"throttled\"").await;
        self.fires("ApiCredentialThrottled", "provider=\"Welkin\"").await;
        self.fires("ApiCredentialNotReady", "resource_name=\"failing\"").await;
        self.fires("ApiCredentialProviderErrors", "provider=\"Qontak\"").await;
        Troubled { rejected, throttled, failing }
    }

    /// The providers work again, and a user follows the runbook about rejected logins.
    async fn recovery(&self, troubled: &Troubled) {
        for client in [&troubled.throttled, &troubled.failing, &troubled.rejected] {
            client.always(Reply::token());
        }
        troubled.rejected.accept("the right secret");
        self.space.source_welkin("rejected-source", "the right secret").await;
        for name in ["rejected", "throttled", "failing"] {
            self.space.wait_condition(name, "Ready", "True/TokenValid").await;
        }
        for alert in ["sRejected", "Throttled", "ProviderErrors", "NotReady", "RenewalOverdue", "ExpiringSoon"] {
            self.is_over(&format!("ApiCredential{alert}"), &format!("job!=\"{QUIET}\"")).await;
        }
    }

    /// A provider whose clock is ten minutes behind, by its responses.
    async fn a_wrong_clock(&self) {
        let behind = clock::now() - SignedDuration::from_mins(10);
        let date = httpdate::fmt_http_date(behind.into());
        let client = self.well.welkin(&self.space.unique("brief"));
        client.always(Reply::token().lifetime(9.0).header("date", &date));
        self.fires("ApiCredentialClockSkew", "provider=\"Welkin\"").await;
        client.lifetime(9.0);
        self.is_over("ApiCredentialClockSkew", "provider=\"Welkin\"").await;
    }

    /// The API server is down, for less time than it takes to lose the lease.
    async fn lost_watches(&self) {
        self.plane.stop_api_server();
        self.fires("ApiCredentialWatchDown", &format!("job=\"{JOB}\"")).await;
        self.plane.start_api_server().await;
        self.is_over("ApiCredentialWatchDown", &format!("job=\"{JOB}\"")).await;
    }

    /// The leader is killed while its lease is valid, and then no replica is left.
    async fn lost_replicas(&self, first: Replica, quiet: Replica) {
        let second = self.replica(JOB, &self.settings).await;
        first.0.kill();
        self.prometheus.forget(&first.1);
        self.fires("ApiCredentialNoLeader", &format!("job=\"{JOB}\"")).await;
        for (operator, address) in [second, quiet] {
            operator.terminate(Duration::from_secs(30)).await;
            self.prometheus.forget(&address);
        }
        self.fires("ApiCredentialOperatorAbsent", "severity=\"critical\"").await;
    }

    async fn fires(&self, alert: &str, labels: &str) {
        let labels = format!("alertname=\"{alert}\",{labels}");
        let firing = async || (!self.prometheus.firing(&labels).await.is_empty()).then_some(());
        self.space.wait_for(&format!("{labels} fires"), firing).await;
    }

    async fn is_over(&self, alert: &str, labels: &str) {
        let labels = format!("alertname=\"{alert}\",{labels}");
        let over = async || self.prometheus.firing(&labels).await.is_empty().then_some(());
        self.space.wait_for(&format!("{labels} is over"), over).await;
    }

    async fn assert_names(&self) {
        let scraped: BTreeSet<String> = self.prometheus.names().await.iter().map(|name| of_series(name)).collect();
        assert_eq!(scraped, ALL.iter().map(ToString::to_string).collect());
    }

    async fn assert_data(&self) {
        let mut wrong = Vec::new();
        // Alerts evaluate their own minute; that they fired is what counts.
        for expression in expressions::all().into_iter().filter(|it| it.place != FileKind::Alerts) {
            let excused = SILENT.iter().any(|(silent, _)| expression.text.starts_with(silent));
            if self.prometheus.had_data(&expression.text).await == excused {
                wrong.push(format!("{}: {}", expression.origin, expression.text));
            }
        }
        assert!(wrong.is_empty(), "no data, or data from what should have none: {wrong:#?}");
    }

    async fn assert_alerts(&self) {
        for rule in expressions::alerts() {
            let alert = text(&rule["alert"]);
            assert!(self.prometheus.fired(&format!("alertname=\"{alert}\"")).await, "{alert} never fired");
        }
        for name in ["hour", "suspended"] {
            assert!(!self.prometheus.fired(&format!("resource_name=\"{name}\"")).await, "an alert about {name} fired");
        }
    }
}
