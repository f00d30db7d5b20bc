//! A tree drawn with box-drawing characters.

/// One line of text and its children.
#[derive(Clone, Debug, Default)]
pub struct TreeNode {
    text: String,
    children: Vec<TreeNode>,
}

impl TreeNode {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), children: Vec::new() }
    }

    /// Appends a child.
    pub fn add(&mut self, node: Self) -> &mut Self {
        self.children.push(node);
        self
    }

    /// Appends a child without children of its own.
    pub fn add_text(&mut self, text: impl Into<String>) -> &mut Self {
        self.add(Self::new(text))
    }

    /// The tree as text, one line for each node.
    pub fn render(&self) -> String {
        let mut text = format!("{}\n", self.text);
        self.render_children("", &mut text);
        text
    }

    fn render_children(&self, indent: &str, text: &mut String) {
        for (index, node) in self.children.iter().enumerate() {
            let last = index + 1 == self.children.len();
            let (joint, further) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            text.push_str(&format!("{indent}{joint}{}\n", node.text));
            node.render_children(&format!("{indent}{further}"), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_connected_to_their_parent() {
        let mut root = TreeNode::new("root");
        let mut a = TreeNode::new("a");
        a.add_text("a1").add_text("a2");
        root.add(a).add_text("b");
        assert_eq!(root.render(), "root\n├─ a\n│  ├─ a1\n│  └─ a2\n└─ b\n");
    }
}
