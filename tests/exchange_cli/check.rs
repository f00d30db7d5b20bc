//! `--check`: the token is used once where the provider documents it.

use std::sync::Arc;

use crate::support::provider::{Disturbance, MockProvider, Point, Reply};
use crate::transcript::Transcript;

const LOGIN: &str = "somebody@example.com\na password of a test\n";

#[test]
fn a_token_is_verified_once_and_an_accepted_one_is_printed() {
    let mock_provider = MockProvider::start();
    let user = mock_provider.qontak("somebody@example.com");
    user.lifetime(29_823_918.0);
    let mut transcript = Transcript::new("check", &mock_provider);
    transcript.secret("the password", "a password of a test");
    let check = ["exchange", "qontak", "--login-stdin", "--check"];
    let run = transcript.run("a token that is accepted", &check, LOGIN);
    assert_eq!((run.code, user.count(), mock_provider.token_uses()), (0, 1, (1, 0)));

    let revoking = || {
        let user = user.clone();
        let revoke = Disturbance::Action(Arc::new(move || drop(user.revoke_tokens().clone())));
        Reply::token().lifetime(29_823_918.0).disturbed(Point::Issued, revoke)
    };
    user.next(revoking());
    let run = transcript.run("a token that is not", &check, LOGIN);
    assert_eq!((run.code, user.count(), mock_provider.token_uses()), (3, 2, (1, 1)));

    user.next(revoking());
    let run = transcript.run("the same for a program", &[&check[..], &["-o", "token"]].concat(), LOGIN);
    assert_eq!((run.code, user.count(), mock_provider.token_uses()), (3, 3, (1, 2)));
    assert_eq!(run.stdout, "", "a token that is not accepted is not printed");

    user.accept("another password");
    let run = transcript.run("without a token there is nothing to verify", &check, LOGIN);
    assert_eq!((run.code, user.count(), mock_provider.token_uses()), (3, 4, (1, 2)));
    let welkin = ["exchange", "welkin", "--tenant", "gh", "--client-name", "a", "--secret-stdin", "--check"];
    let run = transcript.run("a provider without such a page", &welkin, "a secret of a test");
    assert_eq!((run.code, mock_provider.total()), (2, 7));
    transcript.check();
}
