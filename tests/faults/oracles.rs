//! placeholder
use crate::history::History;
pub struct Report {
    pub violations: Vec<String>,
    pub late_creates: usize,
}
pub fn judge(_: &History) -> Report {
    Report { violations: vec![], late_creates: 0 }
}
