//! Maps a failed request to a reason. It uses only the *kind* of the error, because its text may contain what a server sent.

use std::error::Error;
use std::io;

use apicredential::reason::Reason;
use rustls::AlertDescription;

/// Why there is no complete response.
pub(super) fn reason(error: &reqwest::Error) -> Reason {
    if error.is_timeout() {
        return Reason::ProviderTimeout;
    }
    if error.is_dns() {
        return Reason::DnsFailed;
    }
    match tls_error(error) {
        Some(tls) if error.is_connect() && !is_transient(tls) => Reason::TlsFailed,
        _ => Reason::ConnectionFailed,
    }
}

/// Whether a TLS error is transient: the server has an internal error or closed the connection during the handshake. It is
/// treated like a connection that broke.
fn is_transient(error: &rustls::Error) -> bool {
    use AlertDescription::{CloseNotify, InternalError, UserCanceled};
    matches!(error, rustls::Error::AlertReceived(InternalError | CloseNotify | UserCanceled))
}

/// The error of the TLS library in the chain of sources. An [`io::Error`] returns the error that it wraps from `get_ref`, not
/// from `source`.
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
