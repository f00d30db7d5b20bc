use super::*;

#[test]
fn the_default_list_has_the_endpoints_of_each_vendor_for_that_vendor_only() {
    let allowed = AllowedEndpoints::default();
    for provider in Provider::ALL.iter().copied() {
        assert!(allowed.allows(provider, &provider.default_endpoint()));
        for endpoint in provider.info().endpoints() {
            assert_eq!(Endpoint::parse(endpoint.as_str()), Ok(endpoint.clone()), "an origin in normal form");
            for other in Provider::ALL.iter().copied() {
                assert_eq!(allowed.allows(other, &endpoint), other == provider, "{endpoint}");
            }
        }
    }
    assert_eq!(
        allowed.to_string(),
        "welkin=https://api.live.welkincloud.io,welkin=https://api.stg.welkincloud.io,\
         qontak=https://chat-service.qontak.com,qontak=https://service-chat.qontak.com"
    );
    assert_eq!(allowed.to_string().parse::<AllowedEndpoints>(), Ok(allowed));
}

#[test]
fn a_given_list_replaces_the_whole_default() {
    let allowed: AllowedEndpoints = "welkin=https://127.0.0.1:8443, welkin=https://other.example".parse().unwrap();
    assert!(allowed.allows(Provider::Welkin, &Endpoint::parse("https://127.0.0.1:8443").unwrap()));
    assert!(allowed.allows(Provider::Welkin, &Endpoint::parse("https://other.example").unwrap()));
    assert!(!allowed.allows(Provider::Qontak, &Endpoint::parse("https://127.0.0.1:8443").unwrap()));
    assert!(!allowed.allows(Provider::Welkin, &Provider::Welkin.default_endpoint()));
}

#[test]
fn a_bad_list_says_which_entry_is_wrong() {
    for (text, message) in [
        ("", "entry 1 must look like \"welkin=https://host\""),
        ("welkin=https://a.example,", "entry 2 must look like \"welkin=https://host\""),
        ("slack=https://a.example", "entry 1 must begin with \"welkin=\" or \"qontak=\""),
        ("qontak=http://a.example", "entry 1: an endpoint must begin with \"https://\""),
    ] {
        assert_eq!(text.parse::<AllowedEndpoints>().unwrap_err().to_string(), message);
    }
}
