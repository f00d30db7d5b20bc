//! From a failed request to a reason. Only the *kind* of the error is looked at: its text may hold what a server sent.

use std::error::Error;
use std::io;

use apicredential::reason::Reason;
use rustls::AlertDescription;

/// Why no complete answer came.
pub(super) fn reason(error: &reqwest::Error) -> Reason {
    if error.is_timeout() {
        return Reason::ProviderTimeout;
    }
    if error.is_dns() {
        return Reason::DnsFailed;
    }
    match tls_error(error) {
        Some(tls) if error.is_connect() && !is_passing(tls) => Reason::TlsFailed,
        _ => Reason::ConnectionFailed,
    }
}

/// A server in trouble, or one that hung up politely: like a handshake that was cut, it passes by itself.
fn is_passing(error: &rustls::Error) -> bool {
    use AlertDescription::{CloseNotify, InternalError, UserCanceled};
    matches!(error, rustls::Error::AlertReceived(InternalError | CloseNotify | UserCanceled))
}

/// The TLS library's error in the chain. An [`io::Error`] hides the error that it wraps from `source`, and shows it in
/// `get_ref`.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
