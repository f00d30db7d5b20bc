//! Where a request is sent: lines with the endpoint, the tenant and the client's name; the rest is the secret, and the
//! first line also a list of allowed endpoints.

use apicredential::api::Provider;
use apicredential::endpoint::{Endpoint, PathSegment};
use apicredential::providers::{AllowedEndpoints, Login, QontakLogin, WelkinLogin};
use http::Uri;
use secrecy::SecretString;
use serde_json::{Value, json};

/// A URL from accepted parts has exactly the intended path and origin, and nothing else is accepted.
pub fn check(input: &[u8]) {
    let (endpoint, rest) = super::first_line(input);
    let (tenant, rest) = super::first_line(rest);
    let (client, secret) = super::first_line(rest);
    let text = |line| std::str::from_utf8(line).ok();
    let (Some(endpoint), Some(tenant), Some(client)) = (text(endpoint), text(tenant), text(client)) else { return };
    a_list_allows_what_it_names(endpoint);
    let (tenant, client) = (segment(tenant), segment(client));
    let Some(endpoint) = origin(endpoint) else { return };
    let secret = String::from_utf8_lossy(secret).into_owned();
    if let (Some(tenant), Some(client)) = (tenant, client) {
        let path = format!("/{tenant}/admin/api_clients/{client}");
        let inputs = Login::Welkin(WelkinLogin {
            endpoint: endpoint.clone(),
            tenant,
            client_name: client,
            secret: SecretString::from(secret.clone()),
        });
        check_body(&inputs, &path, &json!({"secret": secret}));
    }
    let value = || SecretString::from(secret.clone());
    let (username, password, client_id, client_secret) = (value(), value(), value(), value());
    let inputs = Login::Qontak(QontakLogin { endpoint, username, password, client_id, client_secret });
    let body = json!({
        "grant_type": "password", "username": secret, "password": secret, "client_id": secret, "client_secret": secret,
    });
    check_body(&inputs, "/oauth/token", &body);
}

fn check_body(inputs: &Login, path: &str, body: &Value) {
    let Ok(ask) = inputs.build_request() else { panic!("accepted parts make no URL") };
    let origin = inputs.endpoint().as_str();
    assert_eq!(ask.url.as_str(), format!("{origin}{path}"));
    // The same with the parser of the sending side.
    let uri: Uri = ask.url.as_str().parse().expect("a URI");
    let meant: Uri = origin.parse().expect("a URI");
    assert_eq!((uri.scheme_str(), uri.authority()), (Some("https"), meant.authority()));
    assert_eq!((uri.path(), uri.query(), ask.url.fragment()), (path, None, None));
    assert_eq!((ask.url.username(), ask.url.password()), ("", None));
    let sent: Value = serde_json::from_slice(&ask.body).expect("a body is JSON");
    assert_eq!(&sent, body);
}

fn segment(text: &str) -> Option<PathSegment> {
    let segment = PathSegment::parse(text).ok();
    let plain = |character: char| matches!(character, 'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '-');
    let meant = (1..=128).contains(&text.chars().count()) && text.chars().all(plain);
    assert_eq!(segment.is_some(), meant, "{text:?}");
    segment.inspect(|segment| assert_eq!(segment.as_str(), text))
}

fn origin(text: &str) -> Option<Endpoint> {
    let endpoint = Endpoint::parse(text).ok()?;
    assert_eq!(Endpoint::parse(endpoint.as_str()).as_ref(), Ok(&endpoint), "{text:?} has no normal form");
    let (given, made): (Uri, Uri) = (text.parse().expect("a URI"), endpoint.as_str().parse().expect("a URI"));
    for uri in [&given, &made] {
        assert_eq!((uri.scheme_str(), uri.path(), uri.query()), (Some("https"), "/", None), "{text:?}");
        assert!(uri.authority().is_some_and(|authority| !authority.as_str().contains('@')), "{text:?}");
    }
    let (host, port) = (made.host().expect("a host"), made.port_u16().unwrap_or(443));
    assert_eq!(given.port_u16().unwrap_or(443), port, "{text:?}");
    assert!(port > 0, "{text:?}");
    // An address can be written in many ways; a host name only in one.
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    assert!(is_address || given.host().is_some_and(|given| given.eq_ignore_ascii_case(host)), "{text:?} became {host}");
    Some(endpoint)
}

fn a_list_allows_what_it_names(text: &str) {
    let Ok(allowed) = text.parse::<AllowedEndpoints>() else { return };
    assert_eq!(allowed.to_string().parse::<AllowedEndpoints>().as_ref(), Ok(&allowed));
    let named = |provider: Provider, endpoint: &Endpoint| {
        text.split(',')
            .filter_map(|entry| entry.trim().split_once('='))
            .any(|(name, origin)| name == provider.label() && Endpoint::parse(origin).as_ref() == Ok(endpoint))
    };
    for entry in text.split(',') {
        let (_, origin) = entry.trim().split_once('=').expect("an entry of an accepted list");
        let endpoint = Endpoint::parse(origin).expect("an origin of an accepted list");
        for provider in Provider::ALL.iter().copied() {
            assert_eq!(allowed.allows(provider, &endpoint), named(provider, &endpoint), "{text:?}: {endpoint}");
        }
    }
}
