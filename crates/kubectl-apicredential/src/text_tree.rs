//! A tree for people: branches drawn with lines.

/// A line, and what hangs below it.
#[derive(Clone, Debug, Default)]
pub struct Branch {
    text: String,
    below: Vec<Branch>,
}

impl Branch {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), below: Vec::new() }
    }

    /// Hangs a branch below.
    pub fn add(&mut self, branch: Self) -> &mut Self {
        self.below.push(branch);
        self
    }

    /// Hangs a line below.
    pub fn line(&mut self, text: impl Into<String>) -> &mut Self {
        self.add(Self::new(text))
    }

    /// The whole tree, a line each.
    pub fn draw(&self) -> String {
        let mut text = format!("{}\n", self.text);
        self.draw_below("", &mut text);
        text
    }

    fn draw_below(&self, indent: &str, text: &mut String) {
        for (index, branch) in self.below.iter().enumerate() {
            let last = index + 1 == self.below.len();
            let (joint, further) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            text.push_str(&format!("{indent}{joint}{}\n", branch.text));
            branch.draw_below(&format!("{indent}{further}"), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lead_from_each_branch_to_its_twigs() {
        let mut root = Branch::new("root");
        let mut a = Branch::new("a");
        a.line("a1").line("a2");
        root.add(a).line("b");
        assert_eq!(root.draw(), "root\n├─ a\n│  ├─ a1\n│  └─ a2\n└─ b\n");
    }
}
