//! The command line: its help, and what it rejects.

use apicredential_operator::cli::Args;
use clap::{CommandFactory as _, Parser as _};

use crate::support::provider::MockProvider;
use crate::transcript::{Transcript, flags};

const SECRET: &str = "a-secret-that-somebody-typed";

#[test]
fn the_help_of_the_exchange_is_the_one_that_was_reviewed() {
    let mock_provider = MockProvider::start();
    let mut transcript = Transcript::new("help", &mock_provider);
    transcript.flags(&[]);
    for words in [&["exchange", "--help"][..], &["exchange", "welkin", "--help"], &["exchange", "qontak", "--help"]] {
        let run = transcript.run("help", words, "");
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    }
    transcript.check();
}

#[test]
fn an_invalid_command_line_is_rejected_without_a_request() {
    let mock_provider = MockProvider::start();
    let mut transcript = Transcript::new("usage", &mock_provider);
    let flags = flags(&mock_provider);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let welkin = ["exchange", "welkin", "--tenant", "gh", "--client-name", "VBOPNRYRWJIP"];
    let more = |words: &[&'static str]| [&welkin[..], words].concat();
    for (title, words) in [
        ("no provider", vec!["exchange"]),
        ("an unknown provider", vec!["exchange", "welkn"]),
        ("no tenant", vec!["exchange", "welkin", "--client-name", "VBOPNRYRWJIP"]),
        ("a tenant that is no path segment", vec!["exchange", "welkin", "--tenant", "a/b", "--client-name", "c"]),
        ("no login, and no terminal to prompt", more(&[])),
        ("no login, and no terminal to prompt at all", vec!["exchange", "qontak"]),
        ("a login from two places", more(&["--secret-stdin", "--from-secret", "care/welkin-client"])),
        ("a user name without a password", vec!["exchange", "qontak", "--username-file", "user"]),
        ("a Secret's name that is a path", more(&["--from-secret", "care/../kube-system/x"])),
        ("a key without a Secret", more(&["--secret-stdin", "--key", "token"])),
        ("an unknown format", more(&["--secret-stdin", "--output", "yaml"])),
        ("a timeout that is none", more(&["--secret-stdin", "--provider-timeout", "1ms"])),
        ("a proxy that is none", more(&["--secret-stdin", "--provider-proxy", "proxy:3128"])),
    ] {
        transcript.flags(if words.len() > 2 { &flags } else { &[] });
        let run = transcript.run(title, &words, SECRET);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{title}");
    }
    transcript.flags(&["--endpoint", "https://host/path"]);
    assert_eq!(transcript.run("an endpoint that is no origin", &more(&["--secret-stdin"]), SECRET).code, 2);
    assert_eq!(mock_provider.total(), 0);
    transcript.check();
}

#[test]
fn a_secret_on_the_command_line_is_rejected_and_not_repeated() {
    let mock_provider = MockProvider::start();
    let mut transcript = Transcript::new("misplaced", &mock_provider);
    let (secret, joined) = (SECRET.to_owned(), format!("--secret={SECRET}"));
    let welkin = ["exchange", "welkin", "--tenant", "gh", "--client-name", "VBOPNRYRWJIP"];
    let qontak = ["exchange", "qontak"];
    for (base, given) in [
        (&welkin[..], vec!["--secret", &secret]),
        (&welkin, vec![&joined]),
        (&welkin, vec!["--secret-stdin", &secret]),
        (&qontak, vec!["--username", "somebody@example.com", "--password", &secret, "--login-stdin"]),
        (&qontak, vec![&secret]),
    ] {
        let words = [base, &given].concat();
        let shown: Vec<String> = words.iter().map(|word| word.replace(SECRET, "SECRET")).collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        let run = transcript.run_shown("a secret among the arguments", &words, &shown, || None);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""));
        assert!(!run.stderr.contains(SECRET), "{}", run.stderr);
    }
    assert_eq!(mock_provider.total(), 0);
    transcript.check();
}

/// Other processes can read a process's environment, and children inherit it.
#[test]
fn no_login_is_taken_from_the_environment() {
    let command = Args::command();
    let exchange = command.find_subcommand("exchange").unwrap();
    for provider in exchange.get_subcommands() {
        for flag in provider.get_arguments().filter(|flag| flag.get_env().is_some()) {
            let name = flag.get_long().unwrap();
            assert!(name.starts_with("provider-") || name == "allowed-endpoints", "--{name}");
        }
    }
}

/// The examples in the help and on the page for users are valid as they are.
#[test]
fn every_example_is_an_accepted_command_line() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/exchange.md");
    let mut exchange = Args::command().find_subcommand_mut("exchange").unwrap().clone();
    let help = ["welkin", "qontak"].map(|provider| {
        let provider = exchange.find_subcommand_mut(provider).unwrap();
        provider.render_long_help().to_string()
    });
    for (place, text, least) in [
        ("docs/exchange.md", std::fs::read_to_string(page).unwrap(), 8),
        ("exchange welkin --help", help[0].clone(), 3),
        ("exchange qontak --help", help[1].clone(), 3),
    ] {
        let lines = text.replace("\\\n", " ");
        let examples: Vec<Vec<&str>> = lines.lines().filter_map(words).collect();
        assert!(examples.len() >= least, "{place}: {examples:?}");
        for words in examples {
            let taken = Args::try_parse_from(&words);
            assert!(taken.is_ok(), "{place}: {words:?}: {}", taken.unwrap_err());
        }
    }
}

/// The arguments of the program's command line in a line of shell.
fn words(line: &str) -> Option<Vec<&str>> {
    let start = line.find("apicredential-operator exchange ")?;
    let line = line[start..].split([')', '|', '`', ';']).next()?;
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(words)
}
