//! Whoever holds a token finds nothing, in whatever is stored or said, to test a guess of the login with: not even the
//! right guess shows.

use apicredential::providers::{QONTAK_PUBLIC_CLIENT_ID, QONTAK_PUBLIC_CLIENT_SECRET};
use apicredential::target::fingerprint::mac;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use ring::{digest, hmac};
use serde_json::json;

use crate::fixture::Scene;
use crate::support::leaks::Sentinels;
use crate::support::space::{annotation, value};

/// The words that a hash of the login could begin with.
const DOMAINS: [&str; 9] =
    ["", "v1", "spec", "source", "identity", "values", "secret", "fingerprint", "apicredential.io/fingerprint"];

/// What a login consists of: each value after its name.
type Login<'a> = Vec<(&'static str, &'a str)>;

#[tokio::test]
async fn a_holder_of_the_token_finds_nothing_to_test_a_guess_of_the_login_with() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    let (client, user) = (scene.welkin_client("a").await, scene.qontak_user("b").await);
    scene.apply_welkin("a", &client).await;
    scene.apply_qontak("b").await;
    for name in ["a", "b"] {
        scene.space.wait_ready(name).await;
    }
    let [first_a, first_b] = [client.last_token().unwrap(), user.last_token().unwrap()];
    // A login that was touched, one that was changed, and one that is rejected leave their traces, too.
    scene.space.patch_secret("a-source", &json!({"metadata": {"annotations": {"note": "seen"}}})).await;
    let first = annotation(&scene.target("a").await, "source-version");
    let named = async || (annotation(&scene.target("a").await, "source-version") != first).then_some(());
    scene.space.wait_for("the touched source is named", named).await;
    client.accept("the-next-secret-of-a");
    scene.space.source_welkin("a-source", "the-next-secret-of-a").await;
    let renewed = async || (value(&scene.target("a").await, "token")? != first_a).then_some(());
    scene.space.wait_for("the token of the changed source", renewed).await;
    scene.space.source_qontak("b-source", user.name(), "the-wrong-password-of-b").await;
    scene.space.wait_condition("b", "Renewed", "False/CredentialsRejected").await;

    let tokens = [first_a, client.last_token().unwrap(), first_b];
    let qontak = |password| {
        let client = [("clientId", QONTAK_PUBLIC_CLIENT_ID), ("clientSecret", QONTAK_PUBLIC_CLIENT_SECRET)];
        [[("username", user.name()), ("password", password)], client].concat()
    };
    let logins = [
        vec![("secret", "sentinel-secret-of-a")],
        vec![("secret", "the-next-secret-of-a")],
        qontak("sentinel-password-of-b"),
        qontak("the-wrong-password-of-b"),
    ];
    let guesses = guesses(&tokens, &logins);
    // What an earlier build stored would be found, in an annotation and in a message.
    let earlier = hex(&mac(tokens[0].as_bytes(), "source", &["sentinel-secret-of-a"]));
    assert!(!guesses.found_in(&format!("{{\"fingerprint\": \"v1:0:{earlier}\"}}")).is_empty());
    assert!(!guesses.found_in(&format!("rejected for {}", &earlier[..24])).is_empty());

    scene.space.assert_no_leaks(&guesses).await;
    for name in ["a", "b"] {
        let data = scene.target(name).await.data.unwrap();
        let mut texts = vec![serde_json::to_string(&data).unwrap()];
        texts.extend(data.values().map(|value| String::from_utf8_lossy(&value.0).into_owned()));
        for text in texts {
            assert_eq!(guesses.found_in(&text), Vec::<&str>::new(), "in the data of {name}");
        }
    }
}

/// Whatever could have been made of one of these logins, with one of these tokens as the key or without a key.
fn guesses(tokens: &[String], logins: &[Login<'_>]) -> Sentinels {
    let mut guesses = Sentinels::new([]);
    for (number, login) in logins.iter().enumerate() {
        let values: Vec<&str> = login.iter().map(|(_, value)| *value).collect();
        let named: Vec<&str> = login.iter().flat_map(|(name, value)| [*name, *value]).collect();
        let single = login.iter().flat_map(|(name, value)| [vec![*value], vec![*name, *value]]);
        let all: Vec<Vec<&str>> = single.chain([values.clone(), named]).collect();
        let keys = tokens.iter().map(String::as_str).chain(values.iter().copied()).chain([""]);
        for (key, fields) in keys.flat_map(|key| all.iter().map(move |fields| (key, fields))) {
            let text = fields.join(":");
            let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text.as_bytes());
            let hashes = [format!("{key}{text}"), format!("{text}{key}"), format!("{key}:{text}")];
            let hashes = hashes.map(|text| digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec());
            let macs = DOMAINS.iter().map(|domain| mac(key.as_bytes(), domain, fields).to_vec());
            for bytes in macs.chain(hashes).chain([signed.as_ref().to_vec()]) {
                let name = format!("a hash of login {number}");
                // A beginning gives it away.
                let hex = hex(&bytes[..12]);
                guesses.add_plain(&name, &hex.to_uppercase());
                guesses.add_plain(&name, &hex);
                guesses.add_plain(&name, &BASE64_STANDARD_NO_PAD.encode(&bytes[..12]));
                guesses.add_plain(&name, &BASE64_URL_SAFE_NO_PAD.encode(&bytes[..12]));
            }
        }
    }
    guesses
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
