//! The formats of a printed token, for people and for programs, and where the login may come from.

use crate::support::provider::{MockProvider, Reply};
use crate::support::proxy::Proxy;
use crate::transcript::{Transcript, command, file, flags};

const SECRET: &str = "+}B{KGTG6#zG%P;tQm0C";
const PASSWORD: &str = "p@ss\"word 'of' a \\ test";
const WELKIN: [&str; 6] = ["exchange", "welkin", "--tenant", "gh", "--client-name", "VBOPNRYRWJIP"];

fn with<'a>(base: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [base, more].concat()
}

#[test]
fn a_welkin_token_is_printed_in_the_requested_format_and_in_no_other() {
    let mock_provider = MockProvider::start();
    let client = mock_provider.welkin("VBOPNRYRWJIP");
    client.accept(SECRET);
    let mut transcript = Transcript::new("welkin", &mock_provider);
    transcript.secret("the secret", SECRET);
    let piped = with(&WELKIN, &["--secret-stdin"]);
    let run = transcript.run("the secret on a line of standard input", &piped, &format!("{SECRET}\n"));
    assert_eq!((run.code, client.count()), (0, 1));
    assert!(!run.stdout.contains(&client.last_token().unwrap()), "the token was not requested");

    let path = file("secret", SECRET.as_bytes());
    transcript.show(&path, "SECRET-FILE");
    let mut sent = 1;
    for form in ["token", "header", "json", "env"] {
        let words = with(&WELKIN, &["--secret-file", &path, "--output", form]);
        let shown = with(&WELKIN, &["--secret-file", "SECRET-FILE", "--output", form]);
        let run = transcript.run_shown("the token alone", &words, &shown, || client.last_token());
        sent += 1;
        assert_eq!((run.code, client.count(), run.stderr.as_str()), (0, sent, ""), "{form}");
        let token = client.last_token().unwrap();
        assert_eq!(run.stdout.matches(&token).count(), 1, "{form}");
        match form {
            "token" => assert_eq!(run.stdout, format!("{token}\n")),
            "header" => assert_eq!(run.stdout, format!("Authorization: Bearer {token}\n")),
            _ => {}
        }
    }
    client.next(Reply::token().without_claim("exp"));
    let run = transcript.run("a token that does not say when it ends", &piped, SECRET);
    assert_eq!((run.code, client.count()), (0, sent + 1));
    transcript.check();
}

#[test]
fn a_qontak_token_is_printed_in_the_requested_format_and_in_no_other() {
    let mock_provider = MockProvider::start();
    let user = mock_provider.qontak("somebody@example.com");
    user.accept(PASSWORD).lifetime(29_823_918.0);
    let mut transcript = Transcript::new("qontak", &mock_provider);
    transcript.secret("the password", PASSWORD);
    let piped = ["exchange", "qontak", "--login-stdin"];
    let login = format!("somebody@example.com\n{PASSWORD}\n");
    let run = transcript.run("user name and password on standard input", &piped, &login);
    assert_eq!((run.code, user.count()), (0, 1));
    assert!(!run.stdout.contains(&user.last_token().unwrap()), "the token was not requested");

    let (username, password) = (file("username", b"somebody@example.com"), file("password", PASSWORD.as_bytes()));
    let files = ["exchange", "qontak", "--username-file", &username, "--password-file", &password];
    let shown = ["exchange", "qontak", "--username-file", "USERNAME-FILE", "--password-file", "PASSWORD-FILE"];
    for (sent, form) in [(2, "token"), (3, "header"), (4, "json"), (5, "env")] {
        let more = ["-o", form];
        let run =
            transcript.run_shown("the token alone", &with(&files, &more), &with(&shown, &more), || user.last_token());
        assert_eq!((run.code, user.count(), run.stderr.as_str()), (0, sent, ""), "{form}");
        assert_eq!(run.stdout.matches(&user.last_token().unwrap()).count(), 1, "{form}");
    }
    user.next(Reply::token().without_expiry());
    transcript.run("a token without an end", &piped, &login);
    user.next(Reply::token().without_expiry());
    let more = ["-o", "json"];
    transcript.run_shown("the same for a program", &with(&files, &more), &with(&shown, &more), || user.last_token());
    user.accept_oauth_client("an-id", "a-client-secret");
    let run = transcript.run("an OAuth client of one's own", &piped, &format!("{login}an-id\na-client-secret\n"));
    assert_eq!(run.code, 0);
    transcript.check();
}

#[test]
fn output_for_a_shell_and_for_a_program_can_be_parsed_there() {
    let mock_provider = MockProvider::start();
    let client = mock_provider.welkin("VBOPNRYRWJIP");
    let (flags, path) = (flags(&mock_provider).join(" "), file("secret", SECRET.as_bytes()));
    let line = |form: &str| {
        let program = env!("CARGO_BIN_EXE_apicredential-operator");
        format!("{program} {} --secret-file {path} {flags} -o {form}", WELKIN.join(" "))
    };
    let script = format!("set -eu; lines=$({}); eval \"$lines\"; printf %s \"$WELKIN_TOKEN\"", line("env"));
    let shell = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(shell.stdout).unwrap(), client.last_token().unwrap());

    let json = std::process::Command::new("sh").args(["-c", &line("json")]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["token"], client.last_token().unwrap());
    let time = |name: &str| json[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(time("expirationTime") - time("issuedTime"), json["lifetimeSeconds"].as_i64().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_to_the_provider_follows_the_flags_and_no_proxy_variable() {
    let mock_provider = MockProvider::start();
    let client = mock_provider.welkin("VBOPNRYRWJIP");
    let (named, of_environment) = (Proxy::start(None).await, Proxy::start(None).await);
    let path = file("secret", SECRET.as_bytes());
    let mut flags = flags(&mock_provider);
    flags.extend(["--provider-proxy".to_owned(), named.origin()]);
    let words = with(&WELKIN, &["--secret-file", &path]);
    let variables = ["HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, of_environment.origin().into()));
    let output = tokio::task::block_in_place(|| command(&words, &flags, &variables).output().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((client.count(), named.tunnels(), of_environment.tunnels()), (1, 1, 0));
}
