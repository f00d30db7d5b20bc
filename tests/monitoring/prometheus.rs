//! A real Prometheus: it scrapes each second, evaluates the rules each second, and is queried over its API.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apicredential_operator::clock;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::expressions;
use crate::support::process::Process;
use crate::support::space::{DEADLINE, poll};
use crate::support::{random, reaper};

/// The limits in seconds in the alerts, and their values in a test. Everything else is shortened by its unit.
const LIMITS: [(&str, &str); 2] = [("> 300", "> 5"), ("> 90", "> 1")];

/// A program of Prometheus, fetched once.
pub fn program(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/prometheus.sh");
    let output = Command::new(script).stderr(Stdio::inherit()).output().expect("the script can be started");
    assert!(output.status.success(), "tests/tools/prometheus.sh failed; its messages are above");
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).join(name)
}

/// A running server; killed when dropped.
pub struct Prometheus {
    _process: Process,
    folder: PathBuf,
    url: String,
    http: reqwest::Client,
    started: Timestamp,
    targets: Mutex<Vec<(String, String)>>,
}

impl Prometheus {
    /// Starts one with these rules and nothing to scrape.
    pub async fn start(rules: &Value) -> Self {
        let folder = reaper::directory().join(format!("prometheus-{}", random::suffix()));
        std::fs::create_dir(&folder).expect("the folder can be made");
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.json"],
            "scrape_configs": [{
                "job_name": "operators",
                "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}],
            }],
        });
        for (file, content) in [("prometheus.yml", &config), ("rules.json", rules), ("targets.json", &json!([]))] {
            std::fs::write(folder.join(file), content.to_string()).expect("the file can be written");
        }
        let mut command = Command::new(program("prometheus"));
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"]);
        command.current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::piped());
        let process = Process::start("prometheus", &mut command).expect("prometheus starts");
        let log = BufReader::new(process.take_output().1.expect("it is piped"));
        let url = format!("http://{}", address(log));
        rustls::crypto::ring::default_provider().install_default().ok();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(60));
        let http = http.build().expect("a plain client can be made");
        let this = Self { _process: process, folder, url, http, started: clock::now(), targets: Mutex::default() };
        let ready = async || {
            this.http.get(format!("{}/-/ready", this.url)).send().await.ok()?.status().is_success().then_some(())
        };
        poll(DEADLINE, ready).await.expect("prometheus is ready");
        this
    }

    /// From now on scrapes this address too, as a replica of that job.
    pub fn scrape(&self, job: &str, address: &str) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.push((job.to_owned(), address.to_owned()));
        self.write(&targets);
    }

    /// From now on does not, as when a pod is deleted.
    pub fn forget(&self, address: &str) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|(_, known)| known != address);
        self.write(&targets);
    }

    fn write(&self, targets: &[(String, String)]) {
        // As a PodMonitor does, the scrape sets the namespace of the pod.
        let labels = |job: &String| json!({"job": job, "namespace": "operators", "name": "operator"});
        let targets: Vec<Value> =
            targets.iter().map(|(job, address)| json!({"targets": [address], "labels": labels(job)})).collect();
        let new = self.folder.join("targets.new");
        std::fs::write(&new, Value::from(targets).to_string()).expect("the file can be written");
        std::fs::rename(&new, self.folder.join("targets.json")).expect("the file can be replaced");
    }

    /// What an expression returns now.
    pub async fn now(&self, expression: &str) -> Result<Vec<Value>, String> {
        self.query("query", &[("query", expression)]).await
    }

    /// What an expression returned at any second since the start.
    pub async fn ever(&self, expression: &str) -> Result<Vec<Value>, String> {
        let [start, end] = [self.started, clock::now()].map(|time| time.as_second().to_string());
        self.query("query_range", &[("query", expression), ("start", &start), ("end", &end), ("step", "1")]).await
    }

    /// Whether an expression returned a number at any second since the start; zero divided by zero is none.
    pub async fn had_data(&self, expression: &str) -> bool {
        let series = self.ever(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"));
        let samples = series.iter().flat_map(|series| series["values"].as_array().into_iter().flatten());
        samples.into_iter().any(|sample| sample[1] != "NaN")
    }

    /// The alerts that fire now with these labels: `alertname="…",resource_name="…"`.
    pub async fn firing(&self, labels: &str) -> Vec<Value> {
        self.now(&firing(labels)).await.expect("alerts can be queried")
    }

    /// Whether one has fired at any second since the start.
    pub async fn fired(&self, labels: &str) -> bool {
        self.had_data(&firing(labels)).await
    }

    /// The names of all metrics ever scraped.
    pub async fn names(&self) -> Vec<String> {
        let series = self.ever("group by (__name__) ({__name__=~\"apicredential_.+\"})").await.expect("a query");
        series.iter().map(|series| expressions::text(&series["metric"]["__name__"])).collect()
    }

    async fn query(&self, page: &str, parameters: &[(&str, &str)]) -> Result<Vec<Value>, String> {
        let url = format!("{}/api/v1/{page}", self.url);
        let url = reqwest::Url::parse_with_params(&url, parameters).expect("a URL");
        let answer = self.http.get(url).send().await.expect("prometheus answers").bytes().await.expect("a body");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        match answer["data"]["result"].as_array() {
            Some(series) => Ok(series.clone()),
            None => Err(answer["error"].to_string()),
        }
    }
}

fn firing(labels: &str) -> String {
    format!("ALERTS{{alertstate=\"firing\",{labels}}}")
}

/// The address in the log. What follows is read and dropped, or the server would block on a full pipe.
fn address(log: impl BufRead + Send + 'static) -> String {
    let mut lines = log.lines();
    let mut said = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        let reported = line.contains("msg=\"Listening on\"").then(|| line.split_once("address=")).flatten();
        if let Some((_, rest)) = reported {
            std::thread::spawn(move || lines.for_each(drop));
            return rest.split_whitespace().next().unwrap_or_default().to_owned();
        }
        said.push(line);
    }
    panic!("prometheus ended:\n{}", said.join("\n"));
}

/// The rules with every time divided by sixty: minutes become seconds.
pub fn shortened_rules() -> Value {
    let mut rules = expressions::rules();
    for group in rules["groups"].as_array_mut().expect("the file has groups") {
        for rule in group["rules"].as_array_mut().expect("a group has rules") {
            let expression = expressions::text(&rule["expr"]);
            rule["expr"] =
                LIMITS.iter().fold(shortened(&expression), |text, (long, short)| text.replace(long, short)).into();
            if let Some(wait) = rule["for"].as_str() {
                rule["for"] = sixtieth(wait).into();
            }
        }
    }
    rules
}

/// An expression with its ranges and offsets divided by sixty.
fn shortened(expression: &str) -> String {
    let mut short = String::new();
    let mut rest = expression;
    while let Some(at) = rest.find(['[', 'o']) {
        let start = match &rest[at..] {
            range if range.starts_with('[') => at + 1,
            offset if offset.starts_with("offset ") => at + "offset ".len(),
            _ => at + 1,
        };
        short.push_str(&rest[..start]);
        let duration = |character: char| !character.is_ascii_digit() && !matches!(character, 'h' | 'm');
        let end = rest[start..].find(duration).map_or(rest.len(), |length| start + length);
        let found = &rest[start..end];
        let is_one = found.starts_with(|character: char| character.is_ascii_digit());
        short.push_str(&if is_one { sixtieth(found) } else { found.to_owned() });
        rest = &rest[end..];
    }
    short + rest
}

/// `10m` as `10s`, `1h` as `1m`.
fn sixtieth(duration: &str) -> String {
    duration.replace('m', "s").replace('h', "m")
}

#[test]
fn a_shortened_rule_has_each_of_its_times_shortened() {
    let long = "sum(increase(money[75m])) or x offset 1h > on (hour) y[15m]";
    assert_eq!(shortened(long), "sum(increase(money[75s])) or x offset 1m > on (hour) y[15s]");
    let text = shortened_rules().to_string();
    assert!(!text.contains("5m]") && !text.contains("\"10m\"") && LIMITS.iter().all(|(long, _)| !text.contains(long)));
}

#[tokio::test]
async fn every_expression_that_is_shipped_is_understood() {
    let prometheus = Prometheus::start(&expressions::rules()).await;
    for expression in expressions::all() {
        let answer = prometheus.now(&expression.text).await;
        assert!(answer.is_ok(), "{}: {answer:?}\n{}", expression.origin, expression.text);
    }
    let wrong = prometheus.now("sum by (").await;
    assert!(wrong.is_err(), "what is not understood shows");
}
