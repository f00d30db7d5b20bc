use proptest::prelude::*;

use super::*;

#[test]
fn origins_are_compared_after_parsing() {
    for (text, origin) in [
        ("https://api.live.welkincloud.io", "https://api.live.welkincloud.io"),
        ("https://API.Live.Welkincloud.IO", "https://api.live.welkincloud.io"),
        ("https://host.example:443", "https://host.example"),
        ("https://host.example:8443", "https://host.example:8443"),
        ("https://127.0.0.1:1", "https://127.0.0.1:1"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ] {
        assert_eq!(Endpoint::parse(text).unwrap().as_str(), origin, "{text}");
    }
}

#[test]
fn what_is_more_or_less_than_an_https_origin_is_refused() {
    for text in [
        "",
        "https://",
        "http://host.example",
        "HTTPS://host.example",
        " https://host.example",
        "https:host.example",
        "https:\\\\host.example",
        "https:///host.example",
        "https://host.example/",
        "https://host.example/path",
        "https://host.example?query",
        "https://host.example#fragment",
        "https://user@host.example",
        "https://user:password@host.example",
        "https://host.example\n",
        "https://host\t.example",
        "https://host%2eexample",
        "https://b\u{fc}cher.example",
        "https://host.example:",
        "https://host.example:0",
        "https://host.example:65536",
        "https://host:443:443",
        "https://[::1",
        "https://:443",
        "//host.example",
    ] {
        assert!(Endpoint::parse(text).is_err(), "{text:?}");
    }
    assert!(Endpoint::parse(&format!("https://{}", "a.".repeat(200))).is_err());
}

#[test]
fn a_segment_needs_no_escaping() {
    for text in ["gh", "VBOPNRYRWJIP", "a_b-c", &"x".repeat(128)] {
        assert_eq!(PathSegment::parse(text).unwrap().as_str(), text);
    }
    for text in ["", ".", "..", "a/b", "%2e", "a?b", "a#b", "a b", "a\n", "\u{e9}", "\u{ff41}", &"x".repeat(129)] {
        assert!(PathSegment::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_joined_url_is_exactly_the_one_that_was_meant() {
    let endpoint = Endpoint::parse("https://host.example:8443").unwrap();
    let url = endpoint.join(&["gh", "admin", "api_clients", "A_-9"]).unwrap();
    assert_eq!(url.as_str(), "https://host.example:8443/gh/admin/api_clients/A_-9");
    for segment in ["..", ".", "a/b", "a b", "%2e%2e", "a?b", "\u{e9}"] {
        assert!(endpoint.join(&["gh", segment]).is_none(), "{segment}");
    }
}

proptest! {
    #[test]
    fn whatever_parses_is_its_own_normal_form(text in "https://[ -~]{0,30}") {
        if let Ok(endpoint) = Endpoint::parse(&text) {
            prop_assert_eq!(Endpoint::parse(endpoint.as_str()), Ok(endpoint.clone()));
            let url = Url::parse(endpoint.as_str()).unwrap();
            prop_assert_eq!(url.path(), "/");
        }
    }
}
