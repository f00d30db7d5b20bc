//! Reads the source files as text: what is code, what is a comment or a test, and which modules a file names.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// One source file outside the tests.
pub struct SourceFile {
    /// The path from the top of the repository.
    pub path: String,
    /// The path of the module, from the root of the crate; empty for the root itself.
    pub module: Vec<String>,
    /// The code, as long as the file: comments, literals and tests are blank.
    pub code: String,
    /// How many lines the file has without its tests.
    pub lines: usize,
}

/// Every source file of a crate, without those that are tests.
pub fn source_files(folder: &str) -> Vec<SourceFile> {
    let mut paths = Vec::new();
    walk(&repository().join(folder), &mut paths);
    paths.sort();
    let files = paths.into_iter().filter_map(|path| {
        let inside = path.strip_prefix(&format!("{folder}/"))?.strip_suffix(".rs")?.to_owned();
        let module: Vec<String> = inside.split('/').map(str::to_owned).collect();
        let is_test = module.iter().any(|name| name == "tests" || name.ends_with("_test"));
        let module = if inside == "lib" || inside == "main" { Vec::new() } else { module };
        (!is_test).then(|| read(path, module))
    });
    files.collect()
}

/// Every Rust file below a folder with its whole text, except this check's own, which names the private words.
pub fn texts(folder: &str) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    walk(&repository().join(folder), &mut paths);
    paths.retain(|path| !path.starts_with("tests/structure"));
    let read = |path: String| fs::read_to_string(repository().join(&path)).map(|text| (path, text));
    paths.into_iter().map(|path| read(path).expect("a source file")).collect()
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(folder: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path.strip_prefix(repository()).expect("inside").to_string_lossy().into_owned());
        }
    }
}

fn read(path: String, module: Vec<String>) -> SourceFile {
    let text = fs::read_to_string(repository().join(&path)).expect("a source file");
    from_text(path, module, &text)
}

/// The same for a text that is at hand.
pub fn from_text(path: String, module: Vec<String>, text: &str) -> SourceFile {
    let mut code = without_comments_and_literals(text);
    let mut lines = text.lines().count();
    for tests in test_items(&code) {
        lines -= code[tests.clone()].lines().count();
        code = blank(&code, tests);
    }
    SourceFile { path, module, code, lines }
}

/// Replaces a part by spaces; line breaks stay.
fn blank(text: &str, part: Range<usize>) -> String {
    let spaces = |text: &str| text.chars().map(|it| if it == '\n' { '\n' } else { ' ' }).collect::<String>();
    format!("{}{}{}", &text[..part.start], spaces(&text[part.clone()]), &text[part.end..])
}

/// The items under `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(start) = code[from..].find("#[cfg(test)]").map(|found| from + found) {
        let mut depth = 0;
        let mut end = code.len();
        for (at, letter) in code[start..].char_indices() {
            match letter {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 && (letter == '}' || letter == ';') {
                end = start + at + 1;
                break;
            }
        }
        items.push(start..end);
        from = end;
    }
    items
}

/// Comments, strings and characters become spaces; what is left is ASCII.
fn without_comments_and_literals(text: &str) -> String {
    let letters: Vec<char> = text.chars().map(|it| if it.is_ascii() { it } else { '_' }).collect();
    let starts = |at: usize, word: &str| word.chars().enumerate().all(|(i, it)| letters.get(at + i) == Some(&it));
    let mut code = String::with_capacity(letters.len());
    let mut at = 0;
    while at < letters.len() {
        let end = if starts(at, "//") {
            find(&letters, at, "\n")
        } else if starts(at, "/*") {
            find(&letters, at, "*/") + 2
        } else if let Some(hashes) = raw_string(&letters, at) {
            find(&letters, at + hashes + 2, &format!("\"{}", "#".repeat(hashes))) + hashes + 1
        } else if letters[at] == '"' {
            quoted(&letters, at, '"')
        } else if letters[at] == '\'' && (starts(at + 1, "\\") || starts(at + 2, "'")) {
            quoted(&letters, at, '\'')
        } else {
            code.push(letters[at]);
            at += 1;
            continue;
        };
        let end = end.min(letters.len());
        code.extend(letters[at..end].iter().map(|it| if *it == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

fn find(letters: &[char], from: usize, word: &str) -> usize {
    let word: Vec<char> = word.chars().collect();
    let rest = letters.get(from..).unwrap_or_default();
    rest.windows(word.len()).position(|it| it == word).map_or(letters.len(), |found| from + found)
}

/// How many `#` a raw string begins with that begins here.
fn raw_string(letters: &[char], at: usize) -> Option<usize> {
    let inside_a_name =
        at > 0 && (letters[at - 1].is_alphanumeric() && letters[at - 1] != 'b' || letters[at - 1] == '_');
    if letters[at] != 'r' || inside_a_name {
        return None;
    }
    let hashes = letters[at + 1..].iter().take_while(|it| **it == '#').count();
    (letters.get(at + 1 + hashes) == Some(&'"')).then_some(hashes)
}

/// Where a literal ends that begins here.
fn quoted(letters: &[char], at: usize, quote: char) -> usize {
    let mut end = at + 1;
    while end < letters.len() && letters[end] != quote {
        end += if letters[end] == '\\' { 2 } else { 1 };
    }
    end + 1
}

/// A `use` declaration for one name.
pub struct Import {
    /// As it is written, without `as`.
    pub path: Vec<String>,
    /// The name in this file; `*` for all.
    pub name: String,
    /// Others can use it through this module.
    pub is_public: bool,
}

/// The `use` declarations of a file, and its code without them.
pub fn imports(code: &str) -> (Vec<Import>, String) {
    let mut found = Vec::new();
    let mut rest = code.to_owned();
    for (at, _) in code.match_indices("use ") {
        let line = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        let is_declaration = line.is_empty() || line.starts_with("pub") && !line.contains(' ');
        if !is_declaration {
            continue;
        }
        let end = code[at..].find(';').map_or(code.len(), |length| at + length + 1);
        let tree: String = code[at + 4..end - 1].split_whitespace().collect::<Vec<_>>().join(" ");
        for (path, name) in leaves(&tree) {
            found.push(Import { path, name, is_public: !line.is_empty() });
        }
        rest = blank(&rest, at..end);
    }
    (found, rest)
}

/// `a::{b, c as d}` as `a::b` and `a::c` with the names `b` and `d`.
fn leaves(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    if let Some((prefix, group)) = tree.split_once('{') {
        let prefix: Vec<String> = segments(prefix);
        let group = group.trim().strip_suffix('}').unwrap_or(group);
        let parts = split_group(group).into_iter().flat_map(|part| leaves(&part));
        return parts
            .map(|(path, name)| {
                // `a::{self}` is `a`, under its own name.
                let is_self = path == ["self"];
                let own = if is_self { Vec::new() } else { path };
                let name = if is_self && name == "self" { prefix.last().cloned().unwrap_or_default() } else { name };
                ([prefix.clone(), own].concat(), name)
            })
            .collect();
    }
    if tree.is_empty() {
        return Vec::new();
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let path = segments(path);
    let name = alias.map_or_else(|| path.last().cloned().unwrap_or_default(), str::to_owned);
    vec![(path, name)]
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

fn split_group(group: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match parts.last_mut() {
            Some(part) if letter != ',' || depth > 0 => part.push(letter),
            _ => parts.push(String::new()),
        }
    }
    parts
}

/// The paths of at least two segments in code that are not part of a longer one.
pub fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let part_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    for word in code.split(|letter| !part_of_name(letter)) {
        let path = segments(word);
        if path.len() > 1 && !word.starts_with(':') {
            found.push(path);
        }
    }
    found
}

/// How often each word stands in code.
pub fn words(code: &str) -> BTreeMap<&str, usize> {
    let mut count = BTreeMap::new();
    for word in code.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
        *count.entry(word).or_insert(0) += 1;
    }
    count
}
