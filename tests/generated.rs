//! Generated files in the repository are up to date, and the facts in the README are correct.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a file that cannot be read or parsed fails the test, with its reason"
)]

#[path = "generated/api.rs"]
mod api;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use apicredential::api::crd_yaml;
use apicredential::reason::{Class, Reason};
use apicredential::schedule::{self, Expiry, Margin, Policy, Timings, TokenLifetime};
use apicredential_operator::cli::Args;
use clap::CommandFactory as _;
use jiff::Timestamp;

#[test]
fn the_crd_file_is_the_one_that_the_types_describe() {
    let written = read("crds/apicredentials.yaml");
    assert!(written == crd_yaml(), "crds/apicredentials.yaml does not match the types; run: make generate");
}

#[test]
fn the_blocks_of_the_readme_match_the_code_and_the_examples() {
    keep_in_step(
        "README.md",
        &[
            ("reasons", reasons()),
            ("renewal times", renewal_times()),
            ("flags", flags()),
            ("deploy/examples/welkin.yaml", example("deploy/examples/welkin.yaml")),
            ("deploy/examples/qontak.yaml", example("deploy/examples/qontak.yaml")),
            ("deploy/examples/pod.yaml", example("deploy/examples/pod.yaml")),
        ],
    );
}

#[test]
fn the_api_reference_matches_the_crd() {
    keep_in_step(
        "docs/api.md",
        &[
            ("spec", api::fields("spec")),
            ("status", api::fields("status")),
            ("columns", api::columns()),
            ("reasons", reasons()),
        ],
    );
}

/// Compares the blocks of a page, or rewrites them. A block is the text between `<!-- begin NAME -->` and
/// `<!-- end NAME -->`.
fn keep_in_step(page: &str, blocks: &[(&str, String)]) {
    let before = read(page);
    let after = blocks.iter().fold(before.clone(), |text, (name, content)| with_block(page, &text, name, content));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path(page), &after).unwrap();
    } else if let Some((line, expected)) = first_difference(&before, &after) {
        panic!("{page}, line {line}, differs from the code; run: make generate\nexpected: {expected}");
    }
}

#[test]
fn the_readme_names_files_and_make_targets_that_exist() {
    let (readme, makefile) = (read("README.md"), read("Makefile"));
    for word in code_words(&readme) {
        if ["crds/", "deploy/", "src/", "tests/", ".ci/"].iter().any(|folder| word.starts_with(folder)) {
            assert!(path(word).exists(), "README.md names {word}");
        }
    }
    for target in readme.split("`make ").skip(1).filter_map(|rest| rest.split(['`', ' ']).next()) {
        assert!(makefile.contains(&format!("\n{target}: ")), "README.md names `make {target}`");
    }
}

#[test]
fn the_image_that_is_installed_has_this_version() {
    let image = concat!("apicredential-operator:", env!("CARGO_PKG_VERSION"));
    assert!(read("deploy/install.yaml").contains(&format!("image: {image}\n")), "deploy/install.yaml");
    assert_eq!(read("README.md").matches(image).count(), 2, "README.md");
}

/// A new reason needs a place in one of these groups. Each begins with the reason that it names.
const GROUPS: [(&str, Reason); 6] = [
    ("Token", Reason::TokenValid),
    ("Source Secret", Reason::SourceResolved),
    ("Target Secret", Reason::TargetNotFound),
    ("Spec", Reason::InvalidSpec),
    ("Provider", Reason::CredentialsRejected),
    ("Cluster", Reason::Forbidden),
];

#[test]
fn every_test_that_the_page_about_security_names_exists() {
    let page = read("docs/security.md");
    let names: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 4).collect();
    assert!(names.len() > 5, "{names:?}");
    let files = fs::read_dir(path("tests/cluster")).unwrap().map(|entry| entry.unwrap().path());
    let tests: String = files.filter(|file| file.is_file()).map(|file| fs::read_to_string(file).unwrap()).collect();
    for name in names {
        assert!(tests.contains(&format!("fn {name}()")), "docs/security.md names {name}");
    }
}

#[test]
fn every_seeded_bug_has_a_reason_and_a_test_and_still_applies() {
    let mut patches: Vec<PathBuf> =
        fs::read_dir(path("tests/mutants")).unwrap().map(|entry| entry.unwrap().path()).collect();
    patches.retain(|file| file.extension().is_some_and(|extension| extension == "patch"));
    assert!(patches.len() >= 15, "{} seeded bugs", patches.len());
    for file in patches {
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.len() >= 10 && !first.starts_with("caught-by"),
            "{}: no sentence with the reason",
            file.display()
        );
        assert!(text.contains("\ncaught-by: --"), "{}: no `caught-by:`", file.display());
        let check = Command::new("git").args(["apply", "--check"]).arg(&file).current_dir(path("")).output().unwrap();
        assert!(check.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&check.stderr));
    }
}

fn reasons() -> String {
    let mut text = String::new();
    for reason in Reason::ALL {
        if let Some((title, _)) = GROUPS.iter().find(|(_, first)| first == reason) {
            let gap = if text.is_empty() { "" } else { "\n" };
            write!(text, "{gap}| {title} | Class | Meaning |\n|---|---|---|\n").unwrap();
        }
        writeln!(text, "| `{reason}` | {} | {} |", class_word(*reason), reason.message()).unwrap();
    }
    text
}

fn class_word(reason: Reason) -> &'static str {
    match reason.class() {
        Class::Fine => "–",
        Class::Transient => "transient",
        Class::Throttled => "throttled",
        Class::Unusable => "unusable",
        Class::Rejected => "rejected",
        Class::Local => "local",
    }
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The README's statement about one token, in seconds after its issue.
struct Row {
    token: &'static str,
    settings: &'static str,
    lifetime: Option<i64>,
    margin: Margin,
    max_age: Option<i64>,
    renewed: Option<(i64, i64)>,
}

fn rows() -> Vec<Row> {
    let row = |token, settings, lifetime, renewed| Row {
        token,
        settings,
        lifetime,
        margin: Margin::Default,
        max_age: None,
        renewed,
    };
    let (hour, year) = (Some(HOUR), Some(29_823_918));
    vec![
        row("1 h", "none", hour, Some((34 * 60, 40 * 60))),
        Row { margin: Margin::Seconds(600), ..row("1 h", "`renewBefore: 10m`", hour, Some((44 * 60, 50 * 60))) },
        Row {
            margin: Margin::Seconds(2700),
            ..row("1 h", "`renewBefore: 45m` (counts as 30m: half of the lifetime)", hour, Some((24 * 60, 30 * 60)))
        },
        Row {
            margin: Margin::Percent(20),
            ..row("1 h", "`renewBeforePercentage: 20`", hour, Some((42 * 60, 48 * 60)))
        },
        row("60 s", "none", Some(60), Some((34, 40))),
        row("345 d", "none", year, Some((16_900_221, 19_882_612))),
        Row { max_age: Some(DAY), ..row("345 d", "`maxAge: 24h`", year, Some((DAY - DAY / 10, DAY))) },
        Row { max_age: Some(DAY), ..row("no end", "`maxAge: 24h`", None, Some((DAY - DAY / 10, DAY))) },
        row("no end", "none", None, None),
    ]
}

fn renewal_times() -> String {
    let mut text = "| Token is valid for | `spec.renewal` | Renewed after |\n|---|---|---|\n".to_owned();
    for row in rows() {
        let claim = match row.renewed {
            Some((earliest, latest)) => format!("{} to {}", human(earliest), human(latest)),
            None => "not renewed".to_owned(),
        };
        writeln!(text, "| {} | {} | {claim} |", row.token, row.settings).unwrap();
    }
    text
}

#[test]
fn tokens_are_renewed_when_the_readme_says() {
    let pace = Timings {
        retry_base: Duration::from_secs(5),
        min_renewal_interval: Duration::from_secs(30),
        resync: Duration::from_secs(600),
    };
    let issued = Timestamp::from_second(1_700_000_000).unwrap();
    for row in rows() {
        let expiry = row.lifetime.map_or(Expiry::Never, |seconds| Expiry::At(schedule::later(issued, seconds)));
        let policy = Policy { margin: row.margin, max_age: row.max_age, assumed_lifetime: HOUR };
        let after = |uid: i32| {
            let time = schedule::renewal_time(&TokenLifetime { issued, expiry }, &policy, &uid.to_string(), &pace)?;
            Some(time.as_second() - issued.as_second())
        };
        let times: Option<Vec<i64>> = (0..4000).map(after).collect();
        let Some((earliest, latest)) = row.renewed else {
            assert_eq!(times, None, "{} {}", row.token, row.settings);
            continue;
        };
        let times = times.expect("there is a renewal");
        let (first, last) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
        // Of 4000 ApiCredentials some come close to each end.
        let near = (latest - earliest) / 100 + 1;
        assert!((earliest..=earliest + near).contains(&first), "{} {}: {first}", row.token, row.settings);
        assert!((latest - near..=latest).contains(&last), "{} {}: {last}", row.token, row.settings);
    }
}

fn human(seconds: i64) -> String {
    let (hours, minutes) = (seconds / HOUR, seconds % HOUR / 60);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..HOUR => format!("{minutes} min"),
        HOUR..=DAY if minutes == 0 => format!("{hours} h"),
        HOUR..=DAY => format!("{hours} h {minutes} min"),
        _ => format!("{} d", (seconds + DAY / 2) / DAY),
    }
}

fn flags() -> String {
    let mut text = "| Flag | Default | What it sets |\n|---|---|---|\n".to_owned();
    let mut command = Args::command();
    let run = command.find_subcommand_mut("run").unwrap();
    for flag in run.get_arguments().filter(|flag| flag.get_id() != "help") {
        let defaults: Vec<_> = flag.get_default_values().iter().filter_map(|value| value.to_str()).collect();
        let default = match defaults.concat() {
            none if none.is_empty() => "–".to_owned(),
            // A cell breaks only at a space.
            some => some.split(',').map(|part| format!("`{part}`")).collect::<Vec<_>>().join(", "),
        };
        let help = flag.get_help().expect("every flag has a help").to_string();
        writeln!(text, "| `--{}` | {default} | {help} |", flag.get_long().unwrap()).unwrap();
    }
    text
}

/// A manifest without the comment at its head, as a YAML block.
fn example(file: &str) -> String {
    let text = read(file);
    let lines: Vec<&str> = text.lines().skip_while(|line| line.starts_with('#')).collect();
    format!("```yaml\n{}\n```\n", lines.join("\n"))
}

fn with_block(page: &str, text: &str, name: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let (head, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{page} lacks {begin}"));
    let (_, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("{page} lacks {end}"));
    format!("{head}{begin}{content}{end}{tail}")
}

fn first_difference(before: &str, after: &str) -> Option<(usize, String)> {
    let mut lines = before.lines();
    let wrong = |(number, line): (usize, &str)| (lines.next() != Some(line)).then(|| (number + 1, line.to_owned()));
    let found = after.lines().enumerate().find_map(wrong);
    found.or_else(|| (before != after).then(|| (after.lines().count(), "no more lines".to_owned())))
}

/// The first word of each text between backquotes.
fn code_words(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter_map(|code| code.split_whitespace().next())
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}
