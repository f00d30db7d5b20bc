//! The expiry in a response.

use super::*;

fn welkin_lifetime(claims: &str) -> Result<Lifetime, Reason> {
    welkin().parse_response(welkin_body(&jwt(claims)).as_bytes(), now()).map(|issued| issued.lifetime)
}

fn qontak_lifetime(expires_in: &str) -> Result<Lifetime, Reason> {
    let body = format!(r#"{{"access_token":"WPuW1u-v21","token_type":"Bearer"{expires_in},"created_at":1594354514}}"#);
    qontak().parse_response(body.as_bytes(), now()).map(|issued| issued.lifetime)
}

#[test]
fn a_welkin_lifetime_is_the_difference_of_the_claims_but_never_beyond_exp() {
    for (claims, lifetime) in [
        ("{}".to_owned(), Ok(Lifetime::Unstated)),
        (r#"{"exp":null,"iat":1}"#.to_owned(), Ok(Lifetime::Unstated)),
        (format!(r#"{{"iat":{NOW},"exp":{}}}"#, NOW + 3600), until(NOW + 3600)),
        (format!(r#"{{"exp":{}}}"#, NOW + 3600), until(NOW + 3600)),
        (format!(r#"{{"iat":null,"exp":{}}}"#, NOW + 3600), until(NOW + 3600)),
        // The provider's clock is 10 minutes ahead, then 10 minutes behind.
        (format!(r#"{{"iat":{},"exp":{}}}"#, NOW + 600, NOW + 4200), until(NOW + 3600)),
        (format!(r#"{{"iat":{},"exp":{}}}"#, NOW - 600, NOW + 3000), until(NOW + 3000)),
        (format!(r#"{{"iat":"{NOW}","exp":"{}.75"}}"#, NOW + 3600), until(NOW + 3600)),
        (format!(r#"{{"iat":{NOW}.5,"exp":{}.25}}"#, NOW + 3600), until(NOW + 3599)),
        (r#"{"exp":1.7000036e9}"#.to_owned(), until(NOW + 3600)),
        (format!(r#"{{"exp":{}}}"#, NOW - 1), until(NOW - 1)),
        (format!(r#"{{"iat":{NOW},"exp":{NOW}}}"#), until(NOW)),
        (format!(r#"{{"iat":{},"exp":{}}}"#, NOW + 50, NOW + 40), until(NOW - 10)),
        (r#"{"exp":0}"#.to_owned(), until(0)),
        (r#"{"exp":-1e300}"#.to_owned(), until(0)),
        (format!(r#"{{"exp":{}000}}"#, NOW + 3600), Err(Reason::ImplausibleExpiry)),
        (format!(r#"{{"iat":{NOW}000,"exp":{}000}}"#, NOW + 3600), Err(Reason::ImplausibleExpiry)),
        (format!(r#"{{"exp":{}}}"#, NOW + 11 * 366 * 86_400), Err(Reason::ImplausibleExpiry)),
        (r#"{"exp":1e400}"#.to_owned(), Err(Reason::ImplausibleExpiry)),
        (r#"{"exp":"1e400"}"#.to_owned(), Err(Reason::ImplausibleExpiry)),
        (r#"{"exp":-1e400}"#.to_owned(), Err(Reason::ImplausibleExpiry)),
        (format!(r#"{{"iat":-1e400,"exp":{NOW}}}"#), Err(Reason::ImplausibleExpiry)),
        (format!(r#"{{"iat":1e400,"exp":{NOW}}}"#), Err(Reason::ImplausibleExpiry)),
        (r#"{"exp":99999999999999999999999999}"#.to_owned(), Err(Reason::ImplausibleExpiry)),
        (r#"{"exp":"soon"}"#.to_owned(), Err(Reason::InvalidResponse)),
        (r#"{"exp":{}}"#.to_owned(), Err(Reason::InvalidResponse)),
        (format!(r#"{{"iat":true,"exp":{NOW}}}"#), Err(Reason::InvalidResponse)),
        (r#"{"exp":1,"exp":2}"#.to_owned(), Err(Reason::InvalidToken)),
    ] {
        assert_eq!(welkin_lifetime(&claims), lifetime, "{claims}");
    }
}

#[test]
fn a_welkin_token_that_is_no_valid_jwt_has_no_stated_expiry() {
    let jwe = format!("{}.d.e", jwt(r#"{"exp":1}"#));
    for token in ["opaque", "a.b.c", "..", "a..c", &jwt("not json"), &jwt("[1]"), &jwt("7"), &jwe] {
        let issued = welkin().parse_response(welkin_body(token).as_bytes(), now()).unwrap();
        assert_eq!(issued.lifetime, Lifetime::Unstated, "{token}");
    }
    let padded = format!("e30=.{}==.c", BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{}}}"#, NOW + 10)));
    // The padding is no b64token in the middle, and so no token.
    assert_eq!(welkin().parse_response(welkin_body(&padded).as_bytes(), now()).err(), Some(Reason::InvalidToken));
}

#[test]
fn a_qontak_lifetime_counts_from_the_request() {
    for (member, lifetime) in [
        ("", Ok(Lifetime::Never)),
        (r#","expires_in":null"#, Ok(Lifetime::Never)),
        (r#","expires_in":7200"#, until(NOW + 7200)),
        (r#","expires_in":7200.9"#, until(NOW + 7200)),
        (r#","expires_in":7.2e3"#, until(NOW + 7200)),
        (r#","expires_in":"7200""#, until(NOW + 7200)),
        (r#","expires_in":"7200.5""#, until(NOW + 7200)),
        (r#","expires_in":0"#, until(NOW)),
        (r#","expires_in":-0.5"#, until(NOW - 1)),
        (r#","expires_in":-60"#, until(NOW - 60)),
        (r#","expires_in":-1e300"#, until(0)),
        (r#","expires_in":315360001"#, until(NOW + 315_360_001)),
        (r#","expires_in":315576001"#, Err(Reason::ImplausibleExpiry)),
        (r#","expires_in":9223372036854775807"#, Err(Reason::ImplausibleExpiry)),
        (r#","expires_in":9223372036854775808"#, Err(Reason::ImplausibleExpiry)),
        (r#","expires_in":1e400"#, Err(Reason::ImplausibleExpiry)),
        (r#","expires_in":-1e400"#, Err(Reason::ImplausibleExpiry)),
        (r#","expires_in":"1e400""#, Err(Reason::ImplausibleExpiry)),
        (r#","expires_in":"""#, Err(Reason::InvalidResponse)),
        (r#","expires_in":" 7200""#, Err(Reason::InvalidResponse)),
        (r#","expires_in":"inf""#, Err(Reason::InvalidResponse)),
        (r#","expires_in":"NaN""#, Err(Reason::InvalidResponse)),
        (r#","expires_in":"0x10""#, Err(Reason::InvalidResponse)),
        (r#","expires_in":"e""#, Err(Reason::InvalidResponse)),
        (r#","expires_in":true"#, Err(Reason::InvalidResponse)),
        (r#","expires_in":[7200]"#, Err(Reason::InvalidResponse)),
        (r#","expires_in":{}"#, Err(Reason::InvalidResponse)),
        (r#","expires_in":1,"expires_in":2"#, Err(Reason::InvalidResponse)),
    ] {
        assert_eq!(qontak_lifetime(member), lifetime, "{member}");
    }
}

#[test]
fn the_claims_of_a_qontak_token_do_not_count() {
    let body = format!(r#"{{"access_token":"{}","expires_in":60}}"#, jwt(r#"{"exp":"nonsense"}"#));
    assert_eq!(qontak().parse_response(body.as_bytes(), now()).map(|issued| issued.lifetime), until(NOW + 60));
    let body = r#"{"token":"a","expires_in":60}"#;
    assert_eq!(qontak().parse_response(body.as_bytes(), now()).err(), Some(Reason::InvalidResponse));
}

proptest! {
    #[test]
    fn no_member_makes_it_panic(token in "[ -~]{0,40}", claims in "[ -~]{0,60}", raw in "[-+0-9.eE\"]{1,30}") {
        let _ = welkin().parse_response(welkin_body(&token).as_bytes(), now());
        let _ = welkin_lifetime(&claims);
        for lifetime in [
            welkin_lifetime(&format!(r#"{{"exp":{raw}}}"#)),
            welkin_lifetime(&format!(r#"{{"iat":{raw},"exp":{raw}}}"#)),
            qontak_lifetime(&format!(r#","expires_in":{raw}"#)),
        ] {
            if let Ok(Lifetime::Until(end)) = lifetime {
                prop_assert!(end.as_second() <= NOW + 3653 * 86_400);
            }
        }
    }
}
