//! The expiry in a token response: `welkin 1700000000` and claims, or `qontak 1700000000` and `expires_in`.
//!
//! Claims are base64 within JSON, which a search that flips bytes hardly penetrates; so they are encoded here.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::response;

/// No token is valid for longer than stated.
pub fn check(input: &[u8]) {
    let (line, stated) = super::first_line(input);
    let words = super::words(line);
    let qontak = words.first() == Some(&"qontak");
    let sent = response::second(words.get(1).and_then(|word| word.parse().ok()).unwrap_or(1_700_000_000));
    let mut body = Vec::new();
    if qontak {
        body.extend_from_slice(br#"{"access_token":"WPuW1u-v21","token_type":"Bearer","expires_in":"#);
        body.extend_from_slice(stated);
        body.push(b'}');
    } else {
        body.extend_from_slice(br#"{"token":"e30."#);
        body.extend_from_slice(BASE64_URL_SAFE_NO_PAD.encode(stated).as_bytes());
        body.extend_from_slice(br#".c2ln"}"#);
    }
    response::read(&response::login(qontak), &body, sent);
}
