//! The site that mdBook builds from the pages: its table of contents, its settings, and links that stay within it.

use std::collections::BTreeMap;

use crate::links::{links, normal};
use crate::page::{below, read, repository};

#[test]
fn the_summary_lists_every_page_once_and_nothing_else() {
    let summary = read("docs/SUMMARY.md");
    let mut listed: Vec<String> = summary
        .lines()
        .filter_map(|line| Some(format!("docs/{}", line.split_once("](")?.1.strip_suffix(')')?)))
        .collect();
    listed.sort();
    let mut pages = below("docs");
    pages.retain(|page| page != "docs/SUMMARY.md");
    assert_eq!(listed, pages);
}

#[test]
fn the_book_is_made_of_these_pages_and_goes_where_git_does_not_look() {
    let settings = settings(&read("docs/book.toml"));
    let names: Vec<&str> = settings.keys().map(String::as_str).collect();
    assert_eq!(names, ["book.language", "book.src", "book.title", "build.build-dir"]);
    let from_the_book = |key: &str| normal(&repository().join("docs").join(&settings[key]));
    assert!(from_the_book("book.src").join("SUMMARY.md").is_file());
    assert!(from_the_book("build.build-dir").starts_with(repository().join("target")));
    assert!(read(".gitignore").lines().any(|line| line == "/target"));
}

#[test]
fn no_page_links_to_what_the_book_does_not_have() {
    let mut lost = Vec::new();
    for page in below("docs") {
        for link in links(&read(&page)) {
            let file = link.split('#').next().unwrap_or_default();
            let target = normal(&repository().join(&page).with_file_name("").join(file));
            if !target.starts_with(repository().join("docs")) || target.ends_with("SUMMARY.md") {
                lost.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(lost.is_empty(), "only on a Git host do these lead anywhere:\n{}", lost.join("\n"));
}

/// The settings of a file that has tables and strings only, as `table.key`.
fn settings(text: &str) -> BTreeMap<String, String> {
    let (mut settings, mut table) = (BTreeMap::new(), "");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = name;
            continue;
        }
        let (key, value) = line.split_once(" = ").unwrap_or_else(|| panic!("book.toml: {line}"));
        let value: String = serde_json::from_str(value).unwrap_or_else(|error| panic!("book.toml: {line}: {error}"));
        let before = settings.insert(format!("{table}.{key}"), value);
        assert_eq!(before, None, "book.toml: {key} stands there twice");
    }
    settings
}
