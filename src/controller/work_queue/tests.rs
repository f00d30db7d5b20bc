use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, timeout};

use super::*;

fn key(name: &str) -> Key {
    Key::new("space", name)
}

/// A queue whose looks are noted, and each of which ends when the test lets it.
struct Stage {
    wakes: UnboundedSender<Key>,
    stop: Option<oneshot::Sender<()>>,
    looked: Arc<Mutex<Vec<Key>>>,
    may_end: Arc<Semaphore>,
    turns: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Stage {
    fn new(concurrency: usize, next: Option<Duration>) -> Self {
        let (wakes, woken) = unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let (looked, may_end): (Arc<Mutex<Vec<Key>>>, _) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let turns = Arc::new(AtomicUsize::new(0));
        let (noted, gate, count) = (Arc::clone(&looked), Arc::clone(&may_end), Arc::clone(&turns));
        let look = move |key: Key| {
            noted.lock().unwrap().push(key);
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                next
            }
        };
        let turned = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let task = tokio::spawn(async move {
            run(woken, concurrency, look, turned, async { stopped.await.unwrap_or(()) }).await;
        });
        Self { wakes, stop: Some(stop), looked, may_end, turns, task }
    }

    fn wake(&self, names: &[&str]) {
        names.iter().for_each(|name| self.wakes.send(key(name)).unwrap());
    }

    fn let_end(&self, count: usize) {
        self.may_end.add_permits(count);
    }

    fn looked(&self) -> Vec<String> {
        self.looked.lock().unwrap().iter().map(|key| key.name().to_owned()).collect()
    }

    /// Lets everything that can go on go on.
    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_is_looked_at_in_order_and_only_some_at_a_time() {
    let stage = Stage::new(2, None);
    stage.wake(&["a", "b", "c", "d"]);
    Stage::settle().await;
    assert_eq!(stage.looked(), ["a", "b"]);
    stage.let_end(1);
    Stage::settle().await;
    assert_eq!(stage.looked(), ["a", "b", "c"]);
    stage.let_end(3);
    Stage::settle().await;
    assert_eq!(stage.looked(), ["a", "b", "c", "d"]);
    assert_eq!(stage.turns.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_not_queued_twice_and_who_is_looked_at_is_looked_at_once_more() {
    let stage = Stage::new(1, None);
    stage.wake(&["a", "b", "b", "b"]);
    Stage::settle().await;
    stage.wake(&["a", "a"]);
    Stage::settle().await;
    assert_eq!(stage.looked(), ["a"], "never twice at a time");
    stage.let_end(9);
    Stage::settle().await;
    assert_eq!(stage.looked(), ["a", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_goes_off_once_and_a_wake_puts_it_off() {
    let stage = Stage::new(1, Some(Duration::from_secs(60)));
    stage.let_end(100);
    stage.wake(&["a"]);
    Stage::settle().await;
    advance(Duration::from_secs(59)).await;
    Stage::settle().await;
    assert_eq!(stage.looked().len(), 1);
    stage.wake(&["a"]);
    Stage::settle().await;
    assert_eq!(stage.looked().len(), 2, "woken");
    advance(Duration::from_secs(59)).await;
    Stage::settle().await;
    assert_eq!(stage.looked().len(), 2, "the first alarm is no more");
    advance(Duration::from_secs(2)).await;
    Stage::settle().await;
    assert_eq!(stage.looked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_look_takes_the_place_of_the_alarm_and_says_when_the_next_is_due() {
    let stage = Stage::new(1, Some(Duration::from_secs(60)));
    stage.let_end(1);
    stage.wake(&["a"]);
    Stage::settle().await;
    advance(Duration::from_secs(30)).await;
    stage.wake(&["a"]);
    Stage::settle().await;
    advance(Duration::from_secs(31)).await;
    Stage::settle().await;
    stage.let_end(9);
    Stage::settle().await;
    assert_eq!(stage.looked().len(), 2, "the first alarm is no more");
    advance(Duration::from_secs(61)).await;
    Stage::settle().await;
    assert_eq!(stage.looked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_panics_is_made_again_later_and_stops_nothing() {
    let (wakes, woken) = unbounded_channel();
    let looked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&looked);
    let look = move |key: Key| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(number > 0 || key.name() != "a", "in the first look");
            None
        }
    };
    tokio::spawn(run(woken, 2, look, || {}, std::future::pending()));
    wakes.send(key("a")).unwrap();
    Stage::settle().await;
    wakes.send(key("b")).unwrap();
    Stage::settle().await;
    assert_eq!(looked.load(Ordering::SeqCst), 2);
    advance(AFTER_PANIC + Duration::from_secs(1)).await;
    Stage::settle().await;
    assert_eq!(looked.load(Ordering::SeqCst), 3, "a again");
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_what_is_under_way_has_ended_and_begins_nothing_more() {
    let mut stage = Stage::new(2, Some(Duration::from_secs(1)));
    stage.wake(&["a", "b", "c"]);
    Stage::settle().await;
    stage.stop.take().unwrap().send(()).unwrap();
    Stage::settle().await;
    assert!(!stage.task.is_finished());
    stage.let_end(9);
    timeout(Duration::from_secs(5), &mut stage.task).await.unwrap().unwrap();
    assert_eq!(stage.looked(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_queue_waits_for_its_alarms_and_keeps_no_room() {
    let began = Instant::now();
    let mut alarms = RequeueTimers::default();
    assert!(alarms.next().await.is_none());
    alarms.set(&key("a"), Some(Duration::from_secs(9)));
    alarms.set(&key("b"), Some(Duration::from_secs(3)));
    alarms.set(&key("b"), None);
    assert_eq!(alarms.next().await, Some(key("a")));
    assert!(began.elapsed() >= Duration::from_secs(9));
    assert!(alarms.set.is_empty());
    let mut line = ReadyQueue::default();
    (0..10_000).for_each(|number| line.join(key(&number.to_string())));
    while let Some(key) = line.next() {
        line.ended(&key);
    }
    assert!(line.places.capacity() < 4 * ROOM && line.waiting.capacity() < 4 * ROOM);
}
