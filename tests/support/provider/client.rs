//! A test's handle on one client of the mock provider: set what it is answered, see what it asked.

use apicredential::api::Provider;
use jiff::Timestamp;

use super::books::{Account, Books, Key, Request, Token};
use super::script::Reply;

/// One client; cheap to clone, all clones are the same client.
#[derive(Clone)]
pub struct Client {
    books: Books,
    key: Key,
}

impl Client {
    pub(super) fn new(books: Books, provider: Provider, name: &str) -> Self {
        let key = (provider, name.to_owned());
        books.account(&key);
        Self { books, key }
    }

    /// The Welkin client's, or the Qontak user's name.
    pub fn name(&self) -> &str {
        &self.key.1
    }

    /// From now on only this secret (Welkin) or password (Qontak) is right; before the first call, any is.
    pub fn accept(&self, secret: &str) -> &Self {
        self.set(|account| account.accepted = Some(secret.to_owned()))
    }

    /// The OAuth client that is right, instead of the vendor's public one. Qontak only.
    pub fn accept_oauth_client(&self, id: &str, secret: &str) -> &Self {
        self.set(|account| account.oauth_client = (id.to_owned(), secret.to_owned()))
    }

    /// The status that wrong credentials are answered with: 401 for Welkin, 400 for Qontak by default; both occur.
    pub fn refuse_with(&self, status: u16) -> &Self {
        self.set(|account| account.refusal = status)
    }

    /// Whether a living token comes back with fewer seconds instead of a new one. Qontak only.
    pub fn reuse_tokens(&self, reuse: bool) -> &Self {
        self.set(|account| account.reuse = reuse)
    }

    /// What every request is answered from now on; the queue of [`Client::next`] comes first.
    pub fn always(&self, reply: Reply) -> &Self {
        self.set(|account| account.usual = reply)
    }

    /// Short for `always(Reply::token().lifetime(seconds))`.
    pub fn lifetime(&self, seconds: f64) -> &Self {
        self.always(Reply::token().lifetime(seconds))
    }

    /// What the next request is answered, once; may be called several times.
    pub fn next(&self, reply: Reply) -> &Self {
        self.set(|account| account.queue.push_back(reply))
    }

    /// Forgets the replies of [`Client::next`] that were not used.
    pub fn clear_queue(&self) -> &Self {
        self.set(|account| account.queue.clear())
    }

    /// Lets all tokens of this client die now; the provider's answers do not tell.
    pub fn revoke_tokens(&self) -> &Self {
        self.set(|account| account.tokens.iter_mut().for_each(|token| token.revoked = true))
    }

    /// What a use of this client's tokens is answered from now on, whatever they are worth: status, headers, latency,
    /// disturbance. Qontak only.
    pub fn answer_checks(&self, reply: Reply) -> &Self {
        self.set(|account| account.check = Some(reply))
    }

    /// A use of this client's tokens is answered with what is so.
    pub fn answer_checks_truly(&self) -> &Self {
        self.set(|account| account.check = None)
    }

    /// When this client's tokens were used, and the status of each answer; 0 while there is none.
    pub fn checks(&self) -> Vec<(Timestamp, u16)> {
        self.see(|account| account.checks.clone())
    }

    /// The requests so far, oldest first; those that hang included.
    pub fn requests(&self) -> Vec<Request> {
        self.see(|account| account.requests.clone())
    }

    /// How many requests there were.
    pub fn count(&self) -> usize {
        self.see(|account| account.requests.len())
    }

    /// The tokens that were handed out, in order of issue; a reused one once.
    pub fn tokens(&self) -> Vec<Token> {
        self.see(|account| account.tokens.clone())
    }

    /// The text of the token that was issued last.
    pub fn last_token(&self) -> Option<String> {
        self.see(|account| account.tokens.last().map(|token| token.text.clone()))
    }

    /// How many requests are waiting for their answer or its end now.
    pub fn in_flight(&self) -> usize {
        self.see(|account| account.in_flight)
    }

    /// The most that were in flight at once.
    pub fn max_in_flight(&self) -> usize {
        self.see(|account| account.max_in_flight)
    }

    fn set(&self, change: impl FnOnce(&mut Account)) -> &Self {
        self.books.with(&self.key, change);
        self
    }

    fn see<T>(&self, look: impl FnOnce(&Account) -> T) -> T {
        self.books.with(&self.key, |account| look(account))
    }
}
