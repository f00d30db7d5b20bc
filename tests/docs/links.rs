//! Every link within the repository leads to a file, and to a heading in it.

use std::path::{Component, Path, PathBuf};

use crate::page::{below, read, repository};

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let (mut checked, mut broken) = (0, Vec::new());
    let pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned).into_iter().chain(below("docs"));
    for page in pages {
        for link in links(&read(&page)) {
            checked += 1;
            if let Err(wrong) = follow(&page, &link) {
                broken.push(format!("{page}: {link}: {wrong}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(checked >= 40, "{checked} links");
}

/// The targets of links and images that are not Internet addresses, without those in code.
pub fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        // Every second part is between backquotes.
        let prose = if in_block { String::new() } else { line.split('`').step_by(2).collect::<Vec<_>>().join("`") };
        for (at, _) in prose.match_indices("](") {
            let target = prose[at + 2..].split([')', ' ']).next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                links.push(target.to_owned());
            }
        }
    }
    links
}

fn follow(page: &str, link: &str) -> Result<(), String> {
    let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    let target =
        if file.is_empty() { PathBuf::from(page) } else { normal(&Path::new(page).with_file_name("").join(file)) };
    if !repository().join(&target).exists() {
        return Err("no such file".to_owned());
    }
    let Some(heading) = heading else { return Ok(()) };
    let text = read(&target.display().to_string());
    let found = text.lines().filter_map(|line| line.strip_prefix('#')).any(|line| anchor(line) == heading);
    if found { Ok(()) } else { Err(format!("no heading #{heading}")) }
}

/// The anchor that Git hosts make from a heading: lower case, spaces become hyphens, punctuation is removed.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

pub fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn a_link_is_followed_as_a_reader_does() {
    assert_eq!(anchor("## What `status` says, and why?"), "what-status-says-and-why");
    assert_eq!(links("[a](b.md#c) `[no](no)` ![p](p.svg) [net](https://x.y)\n```\n[no](no)\n```"), ["b.md#c", "p.svg"]);
    assert!(follow("docs/install.md", "../README.md").is_ok());
    assert!(follow("docs/install.md", "absent.md").is_err());
    assert!(follow("docs/install.md", "#absent").is_err());
}
