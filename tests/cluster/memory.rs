//! The operator's own memory: what the kernel keeps others from, and what is left in it once nothing is under way.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::operator::{Operator, Settings};
use crate::support::provider::{Reply, StandIn};
use crate::support::space::{self, DEADLINE, Space, poll};

const SECRET: &str = "sentinel-secret-in-memory-5e1f";
const PASSWORD: &str = "sentinel-password-in-memory-93ab";

#[tokio::test]
async fn the_operator_seals_itself_when_it_starts() {
    let (space, stand_in) = (Space::new().await, StandIn::start());
    let operator = Settings::new(&space, &stand_in).start().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", operator.pid())).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}

/// Idle means that the connections are closed over which secrets went: the provider's after 20 s without a request, the
/// API server's after 220 s without a byte. No lease keeps one of those busy.
#[tokio::test]
#[ignore = "torture: it takes as long as idle connections are kept"]
async fn once_idle_no_secret_and_no_token_is_left_on_the_heap() {
    let (space, stand_in) = (Space::new().await, StandIn::start());
    let operator = Settings::new(&space, &stand_in).patient().flag("--leader-election", "false").start().await;
    let client = stand_in.welkin(&space.unique("w"));
    let user = stand_in.qontak(&space.unique("u"));
    client.next(Reply::token().latency(std::time::Duration::from_secs(3)));
    space.source_welkin("w-source", SECRET).await;
    space.source_qontak("q-source", user.name(), PASSWORD).await;
    space.apply(&space::welkin("w", &client, &stand_in)).await;
    space.apply(&space::qontak("q", &stand_in)).await;
    space.wait_for("an exchange is under way", async || (client.in_flight() == 1).then_some(())).await;
    assert!(!found(&operator, &[SECRET.to_owned()]).is_empty(), "what is in use is found: the search works");
    for name in ["w", "q"] {
        space.wait_ready(name).await;
    }
    let tokens = [client.last_token().unwrap(), user.last_token().unwrap()];
    let all: Vec<String> =
        [SECRET, PASSWORD].iter().copied().chain(tokens.iter().map(String::as_str)).flat_map(forms).collect();
    let mut left = Vec::new();
    let none = poll(2 * DEADLINE, async || {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        left = found(&operator, &all);
        left.is_empty().then_some(())
    });
    assert!(none.await.is_some(), "still there, by number and place: {left:?}");
}

/// As it is, and as it travels in a Secret.
fn forms(secret: &str) -> Vec<String> {
    vec![secret.to_owned(), BASE64_STANDARD.encode(secret)]
}

/// The stacks of Rust's threads are mappings of exactly this size. What a finished call leaves there stays until
/// another one comes as deep.
const THREAD_STACK: u64 = 2 * 1024 * 1024;

/// Which of these texts are in the writable memory of the operator, stacks aside, and in which mapping.
fn found(operator: &Operator, texts: &[String]) -> Vec<(usize, String)> {
    let searcher = aho_corasick::AhoCorasick::new(texts).unwrap();
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", operator.pid())).unwrap();
    let mut memory = File::open(format!("/proc/{}/mem", operator.pid())).unwrap();
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw-p ") && !line.contains("[stack]")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        if to - from == THREAD_STACK {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // A mapping may have gone since it was listed.
        if memory.seek(SeekFrom::Start(from)).is_ok() && memory.read_exact(&mut bytes).is_ok() {
            found.extend(
                searcher.find_iter(&bytes).map(|it| (it.pattern().as_usize(), format!("{line} +{:x}", it.start()))),
            );
        }
    }
    found
}
