//! Names that the project once had of its own, where the field has a word.

use crate::source::SourceFile;

/// Types. Some are everyday words, so only what is defined under such a name counts.
const TYPES: &[&str] = &[
    "Again",
    "Alarms",
    "Ask",
    "Blind",
    "Books",
    "Cluster",
    "Courier",
    "Delivery",
    "Elector",
    "Ending",
    "Errand",
    "Fault",
    "Findings",
    "Fit",
    "Found",
    "Gate",
    "Gates",
    "Glance",
    "Guarded",
    "Halt",
    "Held",
    "Imprint",
    "Inputs",
    "Journal",
    "Kept",
    "Lane",
    "Lean",
    "Life",
    "Line",
    "Listener",
    "Living",
    "Machine",
    "Mark",
    "Memory",
    "Minted",
    "Misplaced",
    "Moment",
    "Named",
    "Opened",
    "Operator",
    "Order",
    "Origin",
    "Pace",
    "Pair",
    "Pairs",
    "Pass",
    "Place",
    "Pulse",
    "Remembered",
    "Rest",
    "Round",
    "Route",
    "Seen",
    "Shown",
    "Sight",
    "Standing",
    "Teller",
    "Term",
    "Told",
    "Values",
    "Wire",
];

/// Modules.
const MODULES: &[&str] = &[
    "books", "deliver", "earlier", "gate", "hand", "held", "lean", "line", "look", "memory", "pulse", "rest", "seed",
    "served", "sight", "tell", "wire",
];

/// Those that are still here: the file and the name.
pub const EXCEPTIONS: &[(&str, &str)] = &[];

/// What a file defines under one of these names, with the path of the file.
pub fn private_words(file: &SourceFile) -> Vec<(String, String)> {
    let words: Vec<&str> =
        file.code.split(|it: char| !it.is_ascii_alphanumeric() && it != '_').filter(|it| !it.is_empty()).collect();
    let defined = words.windows(2).filter_map(|pair| match pair {
        ["struct" | "enum" | "trait" | "type", name] if TYPES.contains(name) => Some(*name),
        ["mod", name] if MODULES.contains(name) => Some(*name),
        _ => None,
    });
    defined.map(|name| (file.path.clone(), name.to_owned())).collect()
}
