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

/// A queue whose reconciles are noted, and each of which ends when the test lets it.
struct Stage {
    enqueued: UnboundedSender<Key>,
    stop: Option<oneshot::Sender<()>>,
    reconciled: Arc<Mutex<Vec<Key>>>,
    may_end: Arc<Semaphore>,
    ended: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Stage {
    fn new(concurrency: usize, next: Option<Duration>) -> Self {
        let (enqueued, queue) = unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let (reconciled, may_end): (Arc<Mutex<Vec<Key>>>, _) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let ended = Arc::new(AtomicUsize::new(0));
        let (noted, gate, count) = (Arc::clone(&reconciled), Arc::clone(&may_end), Arc::clone(&ended));
        let reconcile = move |key: Key| {
            noted.lock().unwrap().push(key);
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                next
            }
        };
        let on_ended = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let task = tokio::spawn(async move {
            run(queue, concurrency, reconcile, on_ended, async { stopped.await.unwrap_or(()) }).await;
        });
        Self { enqueued, stop: Some(stop), reconciled, may_end, ended, task }
    }

    fn enqueue(&self, names: &[&str]) {
        names.iter().for_each(|name| self.enqueued.send(key(name)).unwrap());
    }

    fn let_end(&self, count: usize) {
        self.may_end.add_permits(count);
    }

    fn reconciled(&self) -> Vec<String> {
        self.reconciled.lock().unwrap().iter().map(|key| key.name().to_owned()).collect()
    }

    /// Lets everything that can go on go on.
    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_reconciled_in_order_and_only_some_at_a_time() {
    let stage = Stage::new(2, None);
    stage.enqueue(&["a", "b", "c", "d"]);
    Stage::settle().await;
    assert_eq!(stage.reconciled(), ["a", "b"]);
    stage.let_end(1);
    Stage::settle().await;
    assert_eq!(stage.reconciled(), ["a", "b", "c"]);
    stage.let_end(3);
    Stage::settle().await;
    assert_eq!(stage.reconciled(), ["a", "b", "c", "d"]);
    assert_eq!(stage.ended.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_waits_is_not_queued_twice_and_one_that_is_reconciled_is_reconciled_once_more() {
    let stage = Stage::new(1, None);
    stage.enqueue(&["a", "b", "b", "b"]);
    Stage::settle().await;
    stage.enqueue(&["a", "a"]);
    Stage::settle().await;
    assert_eq!(stage.reconciled(), ["a"], "never twice at a time");
    stage.let_end(9);
    Stage::settle().await;
    assert_eq!(stage.reconciled(), ["a", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_timer_fires_once_and_an_enqueue_replaces_it() {
    let stage = Stage::new(1, Some(Duration::from_secs(60)));
    stage.let_end(100);
    stage.enqueue(&["a"]);
    Stage::settle().await;
    advance(Duration::from_secs(59)).await;
    Stage::settle().await;
    assert_eq!(stage.reconciled().len(), 1);
    stage.enqueue(&["a"]);
    Stage::settle().await;
    assert_eq!(stage.reconciled().len(), 2, "queue");
    advance(Duration::from_secs(59)).await;
    Stage::settle().await;
    assert_eq!(stage.reconciled().len(), 2, "the first alarm is no more");
    advance(Duration::from_secs(2)).await;
    Stage::settle().await;
    assert_eq!(stage.reconciled().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_replaces_the_timer_and_sets_the_next_one() {
    let stage = Stage::new(1, Some(Duration::from_secs(60)));
    stage.let_end(1);
    stage.enqueue(&["a"]);
    Stage::settle().await;
    advance(Duration::from_secs(30)).await;
    stage.enqueue(&["a"]);
    Stage::settle().await;
    advance(Duration::from_secs(31)).await;
    Stage::settle().await;
    stage.let_end(9);
    Stage::settle().await;
    assert_eq!(stage.reconciled().len(), 2, "the first alarm is no more");
    advance(Duration::from_secs(61)).await;
    Stage::settle().await;
    assert_eq!(stage.reconciled().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_that_panics_is_repeated_later_and_stops_nothing() {
    let (enqueued, queue) = unbounded_channel();
    let reconciled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reconciled);
    let reconcile = move |key: Key| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(number > 0 || key.name() != "a", "in the first reconcile");
            None
        }
    };
    tokio::spawn(run(queue, 2, reconcile, || {}, std::future::pending()));
    enqueued.send(key("a")).unwrap();
    Stage::settle().await;
    enqueued.send(key("b")).unwrap();
    Stage::settle().await;
    assert_eq!(reconciled.load(Ordering::SeqCst), 2);
    advance(AFTER_PANIC + Duration::from_secs(1)).await;
    Stage::settle().await;
    assert_eq!(reconciled.load(Ordering::SeqCst), 3, "a again");
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_the_running_reconciles_have_ended_and_starts_none() {
    let mut stage = Stage::new(2, Some(Duration::from_secs(1)));
    stage.enqueue(&["a", "b", "c"]);
    Stage::settle().await;
    stage.stop.take().unwrap().send(()).unwrap();
    Stage::settle().await;
    assert!(!stage.task.is_finished());
    stage.let_end(9);
    timeout(Duration::from_secs(5), &mut stage.task).await.unwrap().unwrap();
    assert_eq!(stage.reconciled(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_queue_waits_for_its_timers_and_keeps_no_capacity() {
    let began = Instant::now();
    let mut timers = RequeueTimers::default();
    assert!(timers.next().await.is_none());
    timers.set(&key("a"), Some(Duration::from_secs(9)));
    timers.set(&key("b"), Some(Duration::from_secs(3)));
    timers.set(&key("b"), None);
    assert_eq!(timers.next().await, Some(key("a")));
    assert!(began.elapsed() >= Duration::from_secs(9));
    assert!(timers.timers.is_empty());
    let mut ready = ReadyQueue::default();
    (0..10_000).for_each(|number| ready.add(key(&number.to_string())));
    while let Some(key) = ready.next() {
        ready.ended(&key);
    }
    assert!(ready.states.capacity() < 4 * IDLE_CAPACITY && ready.waiting.capacity() < 4 * IDLE_CAPACITY);
}
