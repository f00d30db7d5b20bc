//! The results of a scenario, with their goals.

/// The goal of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
}

impl Goal {
    pub fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
            Self::Exactly(wanted) => (value - wanted).abs() < 1e-9,
        }
    }
}

/// The most memory, in MiB, that a fleet of this size may need once it has settled.
pub fn settled_memory_goal(n: usize) -> Option<Goal> {
    match n {
        1_000 => Some(Goal::AtMost(20.0)),
        10_000 => Some(Goal::AtMost(64.0)),
        _ => None,
    }
}

/// One number.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    pub goal: Option<Goal>,
    /// It is the same on every machine, so that CI can check its goal.
    pub is_count: bool,
}

impl Figure {
    pub fn is_missed(&self) -> bool {
        self.goal.is_some_and(|goal| !goal.is_met_by(self.value))
    }
}

/// The numbers of one scenario with one size of the fleet.
#[derive(Clone, Debug)]
pub struct Figures {
    pub scenario: String,
    pub n: usize,
    pub figures: Vec<Figure>,
}

impl Figures {
    pub fn new(scenario: impl Into<String>, n: usize) -> Self {
        Self { scenario: scenario.into(), n, figures: Vec::new() }
    }

    /// A number without a goal.
    pub fn note(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.put(name.into(), value, unit, None, false);
    }

    /// A measurement with a goal.
    pub fn goal(&mut self, name: impl Into<String>, value: f64, unit: &'static str, goal: impl Into<Option<Goal>>) {
        self.put(name.into(), value, unit, goal.into(), false);
    }

    /// A count with a goal.
    pub fn count(&mut self, name: impl Into<String>, value: f64, goal: impl Into<Option<Goal>>) {
        self.put(name.into(), value, "", goal.into(), true);
    }

    pub fn missed_counts(&self) -> impl Iterator<Item = &Figure> {
        self.figures.iter().filter(|figure| figure.is_count && figure.is_missed())
    }

    fn put(&mut self, name: String, value: f64, unit: &'static str, goal: Option<Goal>, is_count: bool) {
        self.figures.push(Figure { name, value, unit, goal, is_count });
    }
}

/// The median.
pub fn median(mut values: Vec<f64>) -> f64 {
    percentile(&mut values, 50.0)
}

/// The smallest value that this share of all values does not exceed; 0 where there is none.
pub fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([50.0, 99.0, 100.0].map(|percent| percentile(&mut values, percent)), [50.0, 99.0, 100.0]);
        assert_eq!((percentile(&mut [7.0], 99.0), percentile(&mut [], 50.0)), (7.0, 0.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn only_a_count_that_misses_its_goal_fails_the_smoke() {
        let mut figures = Figures::new("any", 5);
        figures.goal("slow", 9.0, "s", Goal::AtMost(1.0));
        figures.count("right", 5.0, Goal::Exactly(5.0));
        figures.count("too many", 5.1, Goal::AtMost(5.0));
        figures.count("too few", 4.9, Goal::AtLeast(5.0));
        let missed: Vec<&str> = figures.missed_counts().map(|figure| figure.name.as_str()).collect();
        assert_eq!(missed, ["too many", "too few"]);
    }
}
