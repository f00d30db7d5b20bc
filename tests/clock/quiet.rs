//! An hour in which nothing is due: the log stays silent.

use crate::world::{HOUR, MINUTE, World, counts};

const CREDENTIALS: usize = 100;

#[tokio::test]
async fn an_idle_hour_of_a_hundred_credentials_writes_less_than_ten_lines() {
    let world = World::new().await;
    let operator = world.operator().flag("--provider-rate", "0").flag("--log", "info").start().await;
    let all = world.ready_for(CREDENTIALS, 24 * HOUR).await;
    world.resyncs(2).await;
    let before = operator.log().len();
    for _ in 0..6 {
        world.step(10 * MINUTE);
        world.resyncs(2).await;
    }
    assert_eq!(counts(&all), [1; CREDENTIALS]);
    let lines = operator.log();
    assert!(lines.len() < before + 10, "{:#?}", &lines[before..]);
}
