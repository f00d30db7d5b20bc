//! Requests and responses of the providers, without a network.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::endpoint::PathSegment;

mod head;
mod times;

const NOW: i64 = 1_700_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn welkin() -> Login {
    Login::Welkin(WelkinLogin {
        endpoint: Endpoint::parse("https://welkin.example:8443").unwrap(),
        tenant: PathSegment::parse("gh").unwrap(),
        client_name: PathSegment::parse("VBOPNRYRWJIP").unwrap(),
        secret: SecretString::from("+}B{KGTG6#zG%P;tQm0C"),
    })
}

fn qontak() -> Login {
    Login::Qontak(QontakLogin {
        endpoint: Endpoint::parse("https://qontak.example").unwrap(),
        username: SecretString::from("user\"name"),
        password: SecretString::from("p\u{e4}ss\\word"),
        client_id: SecretString::from(QONTAK_PUBLIC_CLIENT_ID),
        client_secret: SecretString::from(QONTAK_PUBLIC_CLIENT_SECRET),
    })
}

fn jwt(claims: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(claims), part("signature"))
}

fn welkin_body(token: &str) -> String {
    format!(r#"{{"clientName":"VBOPNRYRWJIP","token":"{token}","enabled":true}}"#)
}

fn until(second: i64) -> Result<Lifetime, Reason> {
    Ok(Lifetime::Until(Timestamp::from_second(second).unwrap()))
}

#[test]
fn the_serialized_name_of_a_provider_is_its_name_and_its_label_names_its_block() {
    for provider in Provider::ALL.iter().copied() {
        assert_eq!(serde_json::to_value(provider).unwrap(), provider.as_str());
        assert_eq!(provider.label(), provider.as_str().to_ascii_lowercase());
    }
    let spec = ProviderSpec { type_: Provider::Welkin, welkin: None, qontak: None };
    assert_eq!(spec.source_name(), None);
}

#[test]
fn a_login_has_the_values_of_the_keys_that_the_spec_names_each_under_its_own_name() {
    let request = |provider: serde_json::Value| ProviderRequest::parse(&serde_json::from_value(provider).unwrap());
    let values = |request: &ProviderRequest| {
        let keys: Vec<String> = request.source_keys().into_iter().map(|key| key.name.clone()).collect();
        let login = request.login(|key| Ok::<_, std::convert::Infallible>(format!("<{}>", key.name).into())).unwrap();
        let values: Vec<(&str, String)> =
            login.expose().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        (keys, values)
    };
    let welkin = |keys: serde_json::Value| {
        serde_json::json!({"type": "Welkin", "welkin": {
            "tenant": "gh", "clientName": "A", "secretRef": {"name": "s"}, "keys": keys,
        }})
    };
    let (keys, named) = values(&request(welkin(serde_json::json!({}))).unwrap());
    assert_eq!((keys, named), (vec!["secret".to_owned()], vec![("secret", "<secret>".to_owned())]));
    let (keys, named) = values(&request(welkin(serde_json::json!({"secret": "k"}))).unwrap());
    assert_eq!((keys, named), (vec!["k".to_owned()], vec![("secret", "<k>".to_owned())]));

    let qontak = |keys: serde_json::Value| serde_json::json!({"type": "Qontak", "qontak": {"secretRef": {"name": "s"}, "keys": keys}});
    let (keys, named) = values(&request(qontak(serde_json::json!({}))).unwrap());
    assert_eq!(keys, ["username", "password"]);
    assert_eq!(named[2], ("clientId", QONTAK_PUBLIC_CLIENT_ID.to_owned()), "no key is named for it");
    assert_eq!(named[3], ("clientSecret", QONTAK_PUBLIC_CLIENT_SECRET.to_owned()));
    let own = serde_json::json!({"username": "user", "clientId": "id", "clientSecret": "sec"});
    let (keys, named) = values(&request(qontak(own)).unwrap());
    assert_eq!(keys, ["user", "password", "id", "sec"]);
    assert_eq!(named[2..], [("clientId", "<id>".to_owned()), ("clientSecret", "<sec>".to_owned())]);
    for half in ["clientId", "clientSecret"] {
        let refusal = request(qontak(serde_json::json!({half: "k"}))).unwrap_err();
        assert!(refusal.reason == Reason::InvalidSpec && refusal.message.contains("both or neither"));
    }
}

#[test]
fn a_request_is_exactly_what_the_vendor_documents() {
    let request = welkin().build_request().unwrap();
    assert_eq!(request.url.as_str(), "https://welkin.example:8443/gh/admin/api_clients/VBOPNRYRWJIP");
    assert_eq!(request.body, r#"{"secret":"+}B{KGTG6#zG%P;tQm0C"}"#);
    for (name, value) in
        [("content-type", "application/json"), ("accept", "application/json"), ("accept-encoding", "identity")]
    {
        assert_eq!(request.headers[name], value);
    }
    assert_eq!(request.headers.len(), 3);
    let request = qontak().build_request().unwrap();
    assert_eq!(request.url.as_str(), "https://qontak.example/oauth/token");
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "username": "user\"name", "password": "p\u{e4}ss\\word", "grant_type": "password",
            "client_id": "RRrn6uIxalR_QaHFlcKOqbjHMG63elEdPTair9B9YdY",
            "client_secret": "Sa8IGIh_HpVK1ZLAF0iFf7jU760osaUNV659pBIZR00",
        })
    );
}

#[test]
fn debug_output_contains_no_login_and_no_token() {
    let issued = welkin().parse_response(welkin_body("t0ken").as_bytes(), now()).unwrap();
    let text = format!("{:?} {:?} {issued:?}", welkin(), qontak());
    for secret in ["KGTG6", "word", "user", "Sa8IG", "t0ken"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_welkin_response_is_parsed_as_documented() {
    let token = jwt(
        r#"{"custom:type":"API_CLIENT","token_use":"id","auth_time":1615228427,"iat":1615228427,"exp":1615232027}"#,
    );
    let issued = welkin()
        .parse_response(welkin_body(&token).as_bytes(), Timestamp::from_second(1_615_228_430).unwrap())
        .unwrap();
    assert_eq!(issued.token.expose_secret(), token);
    assert_eq!(issued.token_type, "Bearer");
    assert_eq!(Ok(issued.lifetime), until(1_615_232_027));
}

#[test]
fn a_qontak_response_is_parsed_as_documented() {
    let body = r#"{"access_token": "WPuW1u-v21SkfqfC7NNBD9NvNg3ojy8ftuUpVy3ArbU", "token_type": "Bearer", "expires_in": 29823918,
        "refresh_token": "UU_3xp5jRN0fsNKDrVAEh4QqdRody3Wc37VQHFZ37C4", "created_at": 1594354514}"#;
    let issued = qontak().parse_response(body.as_bytes(), now()).unwrap();
    assert_eq!(issued.token.expose_secret(), "WPuW1u-v21SkfqfC7NNBD9NvNg3ojy8ftuUpVy3ArbU");
    assert_eq!(issued.issued_at, now());
    assert_eq!(Ok(issued.lifetime), until(NOW + 29_823_918));
}

#[test]
fn every_malformed_welkin_response_has_its_reason() {
    let long = "a".repeat(16 * 1024);
    let too_long = "a".repeat(16 * 1024 + 1);
    let deep = format!("{{\"x\":{}", "[".repeat(60_000));
    let deep_but_closed = format!("{{\"x\":{}{},\"token\":\"a\"}}", "[".repeat(20_000), "]".repeat(20_000));
    for (body, reason) in [
        ("", Some(Reason::InvalidResponse)),
        ("<html>sorry</html>", Some(Reason::InvalidResponse)),
        ("null", Some(Reason::InvalidResponse)),
        ("\"token\"", Some(Reason::InvalidResponse)),
        (r#"[{"errorCode":"NOT_VALID_JSON_WEB_TOKEN","message":"m"}]"#, Some(Reason::InvalidResponse)),
        (r#"["a", "b", true]"#, Some(Reason::InvalidResponse)),
        ("{}", Some(Reason::InvalidResponse)),
        (r#"{"token":"a"} x"#, Some(Reason::InvalidResponse)),
        (r#"{"token":"a"}{"token":"b"}"#, Some(Reason::InvalidResponse)),
        (r#"{"token":"a","token":"b"}"#, Some(Reason::InvalidResponse)),
        (r#"{"token":"a","\u0074oken":"b"}"#, Some(Reason::InvalidResponse)),
        (r#"{"Token":"a"}"#, Some(Reason::InvalidResponse)),
        ("\u{feff}{\"token\":\"a\"}", Some(Reason::InvalidResponse)),
        (&deep, Some(Reason::InvalidResponse)),
        (&deep_but_closed, None),
        (r#"{"token":"a"}"#, None),
        (r#"{"token":"\u0061"}"#, None),
        (r#"{"token":"a","enabled":null,"clientName":null,"token_type":null}"#, None),
        (r#"{"enabled":false}"#, Some(Reason::ClientDisabled)),
        (r#"{"enabled":false,"clientName":"other","token":null}"#, Some(Reason::ClientDisabled)),
        (r#"{"enabled":"false","token":"a"}"#, Some(Reason::InvalidResponse)),
        (r#"{"clientName":"other","token":null}"#, Some(Reason::ResponseMismatch)),
        (r#"{"clientName":"vbopnryrwjip","token":"a"}"#, Some(Reason::ResponseMismatch)),
        (r#"{"clientName":["VBOPNRYRWJIP"],"token":"a"}"#, Some(Reason::InvalidResponse)),
        (r#"{"clientName":"\u0056BOPNRYRWJIP","token":"a"}"#, None),
        (r#"{"token":null}"#, Some(Reason::InvalidToken)),
        (r#"{"token":""}"#, Some(Reason::InvalidToken)),
        (r#"{"token":"="}"#, Some(Reason::InvalidToken)),
        (r#"{"token":7}"#, Some(Reason::InvalidToken)),
        (r#"{"token":["a"]}"#, Some(Reason::InvalidToken)),
        (r#"{"token":"a\n"}"#, Some(Reason::InvalidToken)),
        (r#"{"token":"a\r\nX-Header: b"}"#, Some(Reason::InvalidToken)),
        (r#"{"token":"a b"}"#, Some(Reason::InvalidToken)),
        (r#"{"token":"a=b"}"#, Some(Reason::InvalidToken)),
        (r#"{"token":"\u0000"}"#, Some(Reason::InvalidToken)),
        (r#"{"token":"\ud800"}"#, Some(Reason::InvalidToken)),
        ("{\"token\":\"t\u{f6}ken\"}", Some(Reason::InvalidToken)),
        (r#"{"token":"aZ09-._~+/=="}"#, None),
        (&format!(r#"{{"token":"{long}"}}"#), None),
        (&format!(r#"{{"token":"{too_long}"}}"#), Some(Reason::InvalidToken)),
        (r#"{"token":"a","token_type":"BEARER"}"#, None),
        (r#"{"token":"a","token_type":"MAC"}"#, Some(Reason::UnsupportedTokenType)),
        (r#"{"token":"a","token_type":""}"#, Some(Reason::UnsupportedTokenType)),
        (r#"{"token":"a","token_type":7}"#, Some(Reason::UnsupportedTokenType)),
        (r#"{"token":null,"token_type":"MAC"}"#, Some(Reason::InvalidToken)),
    ] {
        let start: String = body.chars().take(100).collect();
        assert_eq!(welkin().parse_response(body.as_bytes(), now()).err(), reason, "{start}");
    }
    assert_eq!(welkin().parse_response(b"{\"token\":\"a\xff\"}", now()).err(), Some(Reason::InvalidResponse));
    assert_eq!(
        welkin().parse_response(b"{\"x\":\"\xff\",\"token\":\"a\"}", now()).err(),
        Some(Reason::InvalidResponse)
    );
}

proptest! {
    #[test]
    fn no_body_causes_a_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = welkin().parse_response(&body, now());
        let _ = qontak().parse_response(&body, now());
    }
}
