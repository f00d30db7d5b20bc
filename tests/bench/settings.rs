//! The settings in the environment: size, length, scenarios.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest scenario, in minutes. The others keep their length in relation to it.
const FULL_MINUTES: f64 = 10.0;

pub struct Settings {
    /// The fleets' sizes.
    pub sizes: Vec<usize>,
    /// The share of the full length of every scenario.
    pub scale: f64,
    /// Small, and a count that misses its goal fails the run.
    pub smoke: bool,
    /// The folder of the report. A part of the scenarios does not replace the page of all.
    pub docs: PathBuf,
    rounds: Option<usize>,
    /// None: all.
    scenarios: Vec<String>,
}

impl Settings {
    pub fn from_environment() -> Self {
        let smoke = variable("BENCH_SMOKE").is_some_and(|text| text != "0");
        let sizes = variable("BENCH_N").unwrap_or_else(|| if smoke { "50" } else { "100 1000 10000" }.to_owned());
        let minutes = variable("BENCH_MINUTES").map(|text| text.parse::<f64>().expect("BENCH_MINUTES is a number"));
        let minutes = minutes.unwrap_or(if smoke { 0.3 } else { FULL_MINUTES });
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let picked = variable("BENCH_SCENARIOS").is_some();
        let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        Self {
            sizes: words(sizes).iter().map(|size| size.parse().expect("BENCH_N is a list of numbers")).collect(),
            scale: minutes / FULL_MINUTES,
            smoke,
            docs: variable("BENCH_DOCS")
                .map_or_else(|| root.join(if picked { "target/bench" } else { "docs" }), PathBuf::from),
            rounds: variable("BENCH_ROUNDS").map(|text| text.parse().expect("BENCH_ROUNDS is a number")),
            scenarios: variable("BENCH_SCENARIOS").map(words).unwrap_or_default(),
        }
    }

    /// Whether it is the largest fleet, for which alone the longest scenario takes its full length.
    pub fn is_largest(&self, n: usize) -> bool {
        self.sizes.iter().all(|size| *size <= n)
    }

    /// The command that repeats this run.
    pub fn command(&self) -> String {
        let names = ["BENCH_N", "BENCH_MINUTES", "BENCH_ROUNDS", "BENCH_SCENARIOS"];
        let given = names.iter().filter_map(|name| Some(format!("{name}='{}'", variable(name)?)));
        given.chain(["make bench".to_owned()]).collect::<Vec<_>>().join(" ")
    }

    pub fn wants(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|wanted| wanted == scenario)
    }

    /// A length that is this long in a full run.
    pub fn scaled(&self, full: Duration) -> Duration {
        full.mul_f64(self.scale)
    }

    /// How often both sides of a score alternate: `BENCH_ROUNDS`, or three times if the score has a goal or that is
    /// short.
    pub fn rounds(&self, n: usize, has_goal: bool) -> usize {
        self.rounds.unwrap_or(if self.smoke || (n > 1000 && !has_goal) { 1 } else { 3 })
    }

    /// How long memory gets to settle: connections are closed at most 40 s after their last use.
    pub fn settling(&self) -> Duration {
        if self.smoke { Duration::from_secs(2) } else { Duration::from_secs(45) }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
