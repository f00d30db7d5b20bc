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

/// Names of the first lists that are everyday words in tests: a fault that is injected, a running operator.
const FINE_IN_TESTS: &[&str] = &["Fault", "Operator", "memory", "seed"];

/// Words and phrases that occur in no text, in lower case. In a name, an underscore separates words, too.
const PHRASES: &[&str] = &[
    "by hand",
    "by way of",
    "dead token",
    "deed",
    "deeds",
    "dies",
    "judge",
    "judged",
    "judges",
    "looked at",
    "looks at",
    "lived with",
    "mend",
    "mended",
    "mends",
    "put right",
    "rights",
    "stand-in",
    "the wire",
    "told",
    "undertaker",
    "wakes",
    "without a word",
    "woke",
    "woken",
];

/// Those that are still here: the file and the name.
pub const EXCEPTIONS: &[(&str, &str)] = &[
    ("src/controller/reserve_slot.rs", "woken"),
    ("src/rate_limit.rs", "woken"),
    ("src/rate_limit/tests.rs", "woken"),
];

/// What a file defines under one of these names, with the path of the file.
pub fn private_words(file: &SourceFile) -> Vec<(String, String)> {
    let is_test = file.path.starts_with("tests/");
    let is_private = |list: &[&str], name: &str| list.contains(&name) && !(is_test && FINE_IN_TESTS.contains(&name));
    let words: Vec<&str> =
        file.code.split(|it: char| !it.is_ascii_alphanumeric() && it != '_').filter(|it| !it.is_empty()).collect();
    let defined = words.windows(2).filter_map(|pair| match pair {
        ["struct" | "enum" | "trait" | "type", name] if is_private(TYPES, name) => Some(*name),
        ["mod", name] if is_private(MODULES, name) => Some(*name),
        _ => None,
    });
    defined.map(|name| (file.path.clone(), name.to_owned())).collect()
}

/// The phrases in the text of a file, with its path: in names, comments and literals.
pub fn private_phrases(path: &str, text: &str) -> Vec<(String, String)> {
    let words = text.to_lowercase();
    let words = words.split(|it: char| !it.is_alphanumeric() && it != '-').filter(|it| !it.is_empty());
    let line = format!(" {} ", words.collect::<Vec<_>>().join(" "));
    let found = PHRASES.iter().filter(|phrase| line.contains(&format!(" {phrase} ")));
    found.map(|phrase| (path.to_owned(), (*phrase).to_owned())).collect()
}
