//! A test's handle on one client of the mock provider: it sets the responses and reads the requests.

use apicredential::api::Provider;
use jiff::Timestamp;

use super::script::Reply;
use super::state::{Account, Key, ProviderState, Request, Token};

/// One client. All clones refer to the same client.
#[derive(Clone)]
pub struct Client {
    state: ProviderState,
    key: Key,
}

impl Client {
    pub(super) fn new(state: ProviderState, provider: Provider, name: &str) -> Self {
        let key = (provider, name.to_owned());
        state.account(&key);
        Self { state, key }
    }

    /// The name of the Welkin client or of the Qontak user.
    pub fn name(&self) -> &str {
        &self.key.1
    }

    /// From now on only this secret (Welkin) or password (Qontak) is accepted. Before the first call, any is.
    pub fn accept(&self, secret: &str) -> &Self {
        self.set(|account| account.accepted = Some(secret.to_owned()))
    }

    /// The accepted OAuth client, instead of the vendor's public one. Qontak only.
    pub fn accept_oauth_client(&self, id: &str, secret: &str) -> &Self {
        self.set(|account| account.oauth_client = (id.to_owned(), secret.to_owned()))
    }

    /// The status of the response to a wrong login: 401 for Welkin, 400 for Qontak by default; both occur.
    pub fn refuse_with(&self, status: u16) -> &Self {
        self.set(|account| account.refusal = status)
    }

    /// Whether a valid token is issued again with fewer seconds instead of a new one. Qontak only.
    pub fn reuse_tokens(&self, reuse: bool) -> &Self {
        self.set(|account| account.reuse = reuse)
    }

    /// The response to every request from now on. The queue of [`Client::next`] comes first.
    pub fn always(&self, reply: Reply) -> &Self {
        self.set(|account| account.usual = reply)
    }

    /// Short for `always(Reply::token().lifetime(seconds))`.
    pub fn lifetime(&self, seconds: f64) -> &Self {
        self.always(Reply::token().lifetime(seconds))
    }

    /// The response to the next request, once. May be called several times.
    pub fn next(&self, reply: Reply) -> &Self {
        self.set(|account| account.queue.push_back(reply))
    }

    /// Drops the replies of [`Client::next`] that were not used.
    pub fn clear_queue(&self) -> &Self {
        self.set(|account| account.queue.clear())
    }

    /// Revokes all tokens of this client now. Token responses do not show it.
    pub fn revoke_tokens(&self) -> &Self {
        self.set(|account| account.tokens.iter_mut().for_each(|token| token.revoked = true))
    }

    /// The response to each use of this client's tokens from now on, whatever their state: status, headers, latency,
    /// disturbance. Qontak only.
    pub fn answer_checks(&self, reply: Reply) -> &Self {
        self.set(|account| account.check = Some(reply))
    }

    /// The response to a use of this client's tokens follows the state of the token again.
    pub fn answer_checks_truly(&self) -> &Self {
        self.set(|account| account.check = None)
    }

    /// When this client's tokens were used, with the status of each response; 0 while there is none.
    pub fn checks(&self) -> Vec<(Timestamp, u16)> {
        self.see(|account| account.checks.clone())
    }

    /// The requests so far, oldest first, including those that hang.
    pub fn requests(&self) -> Vec<Request> {
        self.see(|account| account.requests.clone())
    }

    /// The number of requests so far.
    pub fn count(&self) -> usize {
        self.see(|account| account.requests.len())
    }

    /// The issued tokens in order of issue; a reused one once.
    pub fn tokens(&self) -> Vec<Token> {
        self.see(|account| account.tokens.clone())
    }

    /// The text of the last issued token.
    pub fn last_token(&self) -> Option<String> {
        self.see(|account| account.tokens.last().map(|token| token.text.clone()))
    }

    /// The number of requests whose response is not complete.
    pub fn in_flight(&self) -> usize {
        self.see(|account| account.in_flight)
    }

    /// The largest number of requests in flight at once.
    pub fn max_in_flight(&self) -> usize {
        self.see(|account| account.max_in_flight)
    }

    fn set(&self, change: impl FnOnce(&mut Account)) -> &Self {
        self.state.with(&self.key, change);
        self
    }

    fn see<T>(&self, look: impl FnOnce(&Account) -> T) -> T {
        self.state.with(&self.key, |account| look(account))
    }
}
