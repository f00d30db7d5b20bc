//! No token: each class of failure has its exit code and a sentence that helps, and costs one request at most.

use std::process::Stdio;
use std::time::Duration;

use crate::support::provider::{MockProvider, Reply};
use crate::transcript::{self, Run, Transcript, file, flags};

const SECRET: &str = "+}B{KGTG6#zG%P;tQm0C";
const REMOTE: &str = "a sentence of the provider that is not repeated";
const WELKIN: [&str; 7] = ["exchange", "welkin", "--tenant", "gh", "--client-name", "VBOPNRYRWJIP", "--secret-stdin"];

#[test]
fn the_providers_response_decides_the_exit_code_and_is_requested_once() {
    let mock_provider = MockProvider::start();
    let client = mock_provider.welkin("VBOPNRYRWJIP");
    client.accept(SECRET);
    let mut transcript = Transcript::new("provider", &mock_provider);
    transcript.secret("the secret", SECRET);
    transcript.secret("a wrong secret", "this-secret-is-wrong");
    transcript.secret("remote text", REMOTE);

    let run = transcript.run("a wrong secret", &WELKIN, "this-secret-is-wrong\n");
    assert_eq!((run.code, client.count()), (3, 1));
    let short = [&WELKIN[..], &["--provider-timeout", "10s"]].concat();
    for (sent, (title, reply, code)) in [
        ("a login that is rejected", Reply::error_with(400, "BAD", REMOTE), 3),
        ("an unknown tenant or client", Reply::error_with(404, "GONE", REMOTE), 3),
        ("a client that is switched off", Reply::token().field("enabled", false), 3),
        ("a status that means nothing here", Reply::error_with(418, "TEAPOT", REMOTE), 3),
        ("too many requests", Reply::error_with(429, "SLOW", REMOTE).header("retry-after", "30"), 4),
        ("too many requests, and no time is named", Reply::error_with(429, "SLOW", REMOTE), 4),
        ("a server error", Reply::error_with(503, "DOWN", REMOTE), 5),
        ("no response in time", Reply::hang(), 5),
        ("a cut connection", Reply::token().cut(10), 5),
        ("a redirect", Reply::redirect(302, "https://elsewhere.example/"), 6),
        ("no JSON", Reply::raw(200, REMOTE).header("content-type", "text/html"), 6),
        ("no token", Reply::token().without_field("token"), 6),
        ("another type of token", Reply::token().field("token_type", "mac"), 6),
        ("a token that has ended", Reply::token().lifetime(-60.0), 6),
        ("a token of another client", Reply::token().field("clientName", "ANOTHER"), 6),
    ]
    .into_iter()
    .enumerate()
    {
        client.next(reply);
        // Short only because the test waits for it.
        let words = if title == "no response in time" { &short[..] } else { &WELKIN };
        let run = transcript.run(title, words, SECRET);
        assert_eq!((run.code, client.count()), (code, sent + 2), "{title}");
        assert_eq!(run.stdout, "", "{title}");
    }
    assert_eq!(mock_provider.total(), 16);
    transcript.check();
}

#[test]
fn a_wrong_password_and_a_wrong_page_are_reported_with_qontaks_terms() {
    let mock_provider = MockProvider::start();
    let user = mock_provider.qontak("somebody@example.com");
    user.accept("the right password");
    let mut transcript = Transcript::new("qontak-refused", &mock_provider);
    transcript.secret("a wrong password", "the wrong password");
    let words = ["exchange", "qontak", "--login-stdin", "--output", "token"];
    let login = "somebody@example.com\nthe wrong password\n";
    let run = transcript.run("a wrong password", &words, login);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""));
    user.next(Reply::error(404));
    let run = transcript.run("no such path", &words, login);
    assert_eq!((run.code, run.stdout.as_str(), user.count()), (3, "", 2));
    transcript.check();
}

#[test]
fn a_provider_that_cannot_be_reached_or_trusted_is_never_sent_the_secret() {
    let (mock_provider, another) = (MockProvider::start(), MockProvider::start());
    let client = mock_provider.welkin("VBOPNRYRWJIP");
    let mut transcript = Transcript::new("way", &mock_provider);
    transcript.secret("the secret", SECRET);
    let ca = another.ca_file().display().to_string();
    let more =
        ["--endpoint", &mock_provider.origin(), "--allowed-endpoints", &format!("welkin={}", mock_provider.origin())];
    transcript.flags(&[&more[..], &["--provider-ca-file", &ca]].concat());
    let run = transcript.run("a certificate of another CA", &WELKIN, SECRET);
    assert_eq!(run.code, 6);
    // Held, so that no other test listens there.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let origin = format!("https://localhost:{}", closed.local_addr().unwrap().port());
    transcript.show(&origin, "https://provider");
    transcript.flags(&["--endpoint", &origin, "--allowed-endpoints", &format!("welkin={origin}")]);
    let run = transcript.run("nothing listens", &WELKIN, SECRET);
    assert_eq!((run.code, client.count()), (5, 0));
    transcript.check();
}

#[test]
fn local_errors_are_reported_before_any_request() {
    let mock_provider = MockProvider::start();
    let mut transcript = Transcript::new("local", &mock_provider);
    transcript.secret("the secret", SECRET);
    for (title, text) in [
        ("nothing on standard input", String::new()),
        ("white space before the secret", format!(" {SECRET}\n")),
        ("a second line end", format!("{SECRET}\n\n")),
        ("more than a secret", SECRET.repeat(300)),
        ("a byte order mark before the secret", format!("\u{feff}{SECRET}\n")),
        ("a no-break space after the secret", format!("{SECRET}\u{a0}\n")),
        ("a zero-width space after the secret", format!("{SECRET}\u{200b}\n")),
        ("a NUL before the secret", format!("\0{SECRET}\n")),
        ("a vertical tab after the secret", format!("{SECRET}\u{b}\n")),
    ] {
        assert_eq!(transcript.run(title, &WELKIN, &text).code, 7, "{title}");
    }
    let base = &WELKIN[..6];
    let (line, binary) = (file("line", format!("{SECRET}\n").as_bytes()), file("binary", b"\xff\xfe"));
    let mark = file("mark", format!("\u{feff}{SECRET}").as_bytes());
    transcript.show(&mark, "FILE");
    transcript.show(&line, "FILE");
    transcript.show(&binary, "FILE");
    for (title, path) in [
        ("a file with a line end, which the operator would refuse, too", line.as_str()),
        ("a file with a byte order mark", &mark),
        ("a file that is no text", &binary),
        ("a file that is not there", "/nowhere/secret"),
    ] {
        let (words, shown) = ([base, &["--secret-file", path]].concat(), [base, &["--secret-file", "FILE"]].concat());
        let run = transcript.run_shown(title, &words, &shown, || None);
        assert_eq!(run.code, 7, "{title}");
    }
    let login = ["exchange", "qontak", "--login-stdin"];
    assert_eq!(transcript.run("a login without a password", &login, "somebody\n").code, 7);

    let elsewhere = ["--endpoint", "https://elsewhere.example"];
    transcript.flags(&elsewhere);
    assert_eq!(transcript.run("a host that is not on the list", &WELKIN, SECRET).code, 7);
    transcript.flags(&["--provider-ca-file", "/nowhere/ca.pem"]);
    assert_eq!(transcript.run("no certificates where they should be", &WELKIN, SECRET).code, 7);
    assert_eq!((mock_provider.total(), mock_provider.connections()), (0, 0));
    transcript.check();
}

#[test]
fn a_token_that_cannot_be_printed_is_a_failure() {
    let mock_provider = MockProvider::start();
    let client = mock_provider.welkin("VBOPNRYRWJIP");
    let path = file("secret", SECRET.as_bytes());
    let words = [&WELKIN[..6], &["--secret-file", &path, "-o", "token"]].concat();
    let mut command = transcript::command(&words, &flags(&mock_provider), &[]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let run = Run::of(&command.stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap());
    assert_eq!((run.code, client.count()), (7, 1));
    assert!(run.stderr.contains("cannot be written to standard output"), "{}", run.stderr);
}
