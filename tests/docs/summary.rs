//! The table of contents, which mdBook reads.

use crate::page::{below, read};

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
fn the_book_is_built_from_the_summary() {
    assert!(read("docs/book.toml").contains("\nsrc = \".\"\n"));
}
