//! A page of the documentation, and the blocks in it that can be tried.

use std::fs;
use std::path::{Path, PathBuf};

/// A page, by its path from the root of the repository.
#[derive(Debug, Default)]
pub struct Page {
    pub path: String,
    /// The state that is set up before the first block.
    pub given: Vec<String>,
    /// Secrets and keys that must exist all the time.
    pub keeps: Vec<(String, String)>,
    pub blocks: Vec<Block>,
}

/// A block that can be tried.
#[derive(Debug)]
pub struct Block {
    /// The line of its first line, from 1.
    pub line: usize,
    pub kind: Kind,
    /// A prerequisite that is missing here; the block is not run then.
    pub needs: Option<String>,
    pub text: String,
    /// The lines that it prints.
    pub prints: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Shell,
    Yaml,
}

/// All pages: README.md, CONTRIBUTING.md, then docs/ by name.
pub fn all() -> Vec<Page> {
    let mut files = ["README.md", "CONTRIBUTING.md"].map(str::to_owned).to_vec();
    files.extend(below("docs"));
    files.into_iter().map(|file| parse(&file, &read(&file))).collect()
}

/// The Markdown files below a folder, by their paths.
pub fn below(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(repository().join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files.extend(below(&path));
        } else if Path::new(&path).extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    files.sort();
    files
}

pub fn read(file: &str) -> String {
    fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

pub fn parse(path: &str, text: &str) -> Page {
    let mut page = Page { path: path.to_owned(), ..Page::default() };
    let mut lines = text.lines().enumerate();
    // The requirement of the next block, and whether it may be the output of the last one.
    let (mut needs, mut follows) = (None, false);
    while let Some((number, line)) = lines.next() {
        let line = line.trim_end();
        if let Some(comment) = comment(line) {
            needs = page.note(comment).or(needs);
        } else if let Some(language) = line.trim_start().strip_prefix("```") {
            let indent = line.len() - line.trim_start().len();
            let body = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            let body: Vec<&str> = body.map(|line| line.get(indent..).unwrap_or_default()).collect();
            follows = page.take(number + 2, language, &body, needs.take(), follows);
        } else if !line.is_empty() {
            (needs, follows) = (None, false);
        }
    }
    page
}

fn comment(line: &str) -> Option<(&str, &str)> {
    line.trim_start().strip_prefix("<!-- ")?.strip_suffix(" -->")?.split_once(": ")
}

impl Page {
    /// Parses a comment about the page. Returns what it states about the next block.
    fn note(&mut self, (key, value): (&str, &str)) -> Option<String> {
        match (key, value.split_once(' ')) {
            ("given", _) => self.given.extend(value.split_whitespace().map(str::to_owned)),
            ("keeps", Some((secret, key))) => self.keeps.push((secret.to_owned(), key.to_owned())),
            ("needs", _) => return Some(value.to_owned()),
            _ => {}
        }
        None
    }

    /// Parses a block. Returns whether the next one may be its output.
    fn take(&mut self, line: usize, language: &str, body: &[&str], needs: Option<String>, follows: bool) -> bool {
        let kind = match language {
            "sh" | "bash" | "shell" | "console" => Kind::Shell,
            "yaml" => Kind::Yaml,
            "text" if follows => {
                if let Some(block) = self.blocks.last_mut() {
                    block.prints = body.iter().map(ToString::to_string).collect();
                }
                return false;
            }
            _ => return false,
        };
        let (mut text, mut prints) = (body.join("\n"), Vec::new());
        if language == "console" {
            text = body.iter().filter_map(|line| line.strip_prefix("$ ")).collect::<Vec<_>>().join("\n");
            prints = body.iter().filter(|line| !line.starts_with("$ ")).map(ToString::to_string).collect();
        }
        self.blocks.push(Block { line, kind, needs, text, prints });
        kind == Kind::Shell
    }
}

/// Whether one of the printed lines matches the one on the page: the same words, where one with a digit matches any
/// with a digit, and `…` all that follow.
pub fn is_printed(shown: &str, printed: &str) -> bool {
    let fits = |line: &str| {
        let mut words = line.split_whitespace();
        let digit = |word: &str| word.contains(|letter: char| letter.is_ascii_digit());
        for shown in shown.split_whitespace() {
            if shown == "…" {
                return true;
            }
            if !words.next().is_some_and(|word| word == shown || digit(word) && digit(shown)) {
                return false;
            }
        }
        words.next().is_none()
    };
    printed.lines().any(fits)
}

#[test]
fn a_page_is_read_as_its_comments_say() {
    let text = "<!-- given: a b -->\n<!-- keeps: secret key -->\n\n<!-- needs: docker -->\n```sh\nbuild\n```\n\n   \
                ```sh\n   run\n     it\n   ```\n\n```text\ndone\n```\n\n```text\nno\n```\n\n```yaml\na: 1\n```\n\n<!-- needs: \
                a -->\nBut no.\n\n```console\n$ say\nwhat\n```\n";
    let page = parse("page", text);
    assert_eq!(page.given, ["a", "b"]);
    assert_eq!(page.keeps, [("secret".to_owned(), "key".to_owned())]);
    let blocks =
        page.blocks.iter().map(|it| (it.line, it.kind, it.needs.as_deref(), it.text.as_str(), it.prints.len()));
    let expected = [
        (6, Kind::Shell, Some("docker"), "build", 0),
        (10, Kind::Shell, None, "run\n  it", 1),
        (23, Kind::Yaml, None, "a: 1", 0),
        (30, Kind::Shell, None, "say", 1),
    ];
    assert_eq!(blocks.collect::<Vec<_>>(), expected);
}

#[test]
fn what_a_page_shows_is_compared_with_what_was_printed() {
    let printed = "NAME AGE\nwelkin  True 3d\nmore";
    for (shown, expected) in [
        ("NAME   AGE", true),
        ("welkin True 14h", true),
        ("welkin …", true),
        ("welkin True", false),
        ("qontak True 3d", false),
        ("welkin False 3d", false),
    ] {
        assert_eq!(is_printed(shown, printed), expected, "{shown}");
    }
}
