//! How cost grows with the fleet: the exponent of the power that fits best, by least squares on a log-log scale.

use super::figures::Figures;

/// Cost against N: 1 is linear; below, it grows more slowly.
pub struct Growth {
    pub scenario: String,
    pub figure: String,
    pub exponent: f64,
    /// Between the two largest fleets, where fixed costs weigh least.
    pub last: f64,
}

/// The evaluated figures, by name. Memory and time have a part that does not grow, so their exponents start low.
const COSTS: [(&str, &str); 9] = [
    ("cold, provider latency 0 ms", "time to all Ready"),
    ("cold, provider latency 0 ms", "CPU of all first syncs"),
    ("cold, provider latency 0 ms", "requests"),
    ("cold, provider latency 0 ms", "peak memory"),
    ("cold, provider latency 0 ms", "settled memory"),
    ("restart", "time to settle"),
    ("restart", "CPU until settled"),
    ("restart", "settled memory"),
    ("idle", "CPU, share of a core"),
];

pub fn growth(results: &[Figures]) -> Vec<Growth> {
    COSTS.iter().filter_map(|(scenario, figure)| of(results, scenario, figure)).collect()
}

fn of(results: &[Figures], scenario: &str, figure: &str) -> Option<Growth> {
    let mut points = points(results, scenario, figure);
    points.retain(|(n, value)| *n > 0.0 && *value > 0.0);
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let logs: Vec<(f64, f64)> = points.iter().map(|(n, value)| (n.ln(), value.ln())).collect();
    let last = logs.len().checked_sub(2).map(|from| slope(&logs[from..]))?;
    Some(Growth { scenario: scenario.to_owned(), figure: figure.to_owned(), exponent: slope(&logs), last })
}

/// N and what was measured.
pub fn points(results: &[Figures], scenario: &str, figure: &str) -> Vec<(f64, f64)> {
    let fitting = results.iter().filter(|figures| figures.scenario == scenario);
    fitting
        .filter_map(|figures| {
            let found = figures.figures.iter().find(|it| it.name == figure)?;
            Some((figures.n as f64, found.value))
        })
        .collect()
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    covariance / variance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_is_that_of_the_power() {
        let measured = |n: usize| {
            let mut figures = Figures::new("restart", n);
            figures.note("time to settle", 3.0 * (n as f64).powf(1.5), "s");
            figures
        };
        let growth = growth(&[100, 1000, 10_000].map(measured));
        assert_eq!(growth.len(), 1, "what was not measured is left out");
        assert!((growth[0].exponent - 1.5).abs() < 1e-9 && (growth[0].last - 1.5).abs() < 1e-9);
    }
}
