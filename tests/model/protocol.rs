//! The actions of the model: which may come next, and what each does.

use apicredential_operator::lease::rules;
use stateright::{Model, Property};

use crate::election;
use crate::ledger::{self, Ledger};
use crate::replica;
use crate::user::{self, UserChange};
use crate::world::{Budget, Credential, Holder, Lease, Replica, Status, Task, Tick, World, between};

/// The model: its bound, and the rules that it leaves out.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub bound: Bound,
    pub guards: Guards,
}

/// The bound of the search.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The clock stops here.
    pub horizon: Tick,
    /// The lifetime of a token.
    pub lifetime: Tick,
    pub budget: Budget,
}

/// Rules that the model can leave out, to show what each is for. The product has no such switches.
#[derive(Clone, Copy, Debug)]
pub struct Guards {
    /// No write starts later than half a lease after the request was sent.
    pub deadline: bool,
    /// A write names the version for which it was decided.
    pub version: bool,
    /// A write checks whether the lease may still be ours.
    pub leader: bool,
    /// A replica that lost its lease becomes a candidate again only when its exchange and write have ended.
    pub term: bool,
    /// The token's expiry is checked right before the write.
    pub expiry: bool,
    /// The Secret is read for the current state, not the status.
    pub truth: bool,
    /// Ready is evaluated again when a status is written for the second time.
    pub reevaluates: bool,
}

impl Guards {
    pub const ALL: Self =
        Self { deadline: true, version: true, leader: true, term: true, expiry: true, truth: true, reevaluates: true };
}

/// What may come next. A number is a replica, or a position among the writes in transit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Five seconds pass.
    Tick,
    /// The holder renews its lease.
    Renew(usize),
    /// A candidate takes it.
    Take(usize),
    /// The process ends, and another is started.
    Crash(usize),
    /// The same in order: the lease is released.
    Release(usize),
    /// Read and decide.
    Reconcile(usize),
    /// Send the request.
    Send(usize),
    /// The provider's response arrives.
    Answer(usize),
    /// The provider's response is lost.
    LoseAnswer(usize),
    /// Check whether the ApiCredential still requests the token.
    Confirm(usize),
    /// Send the write.
    Write(usize),
    /// The API server handles a write and replies.
    Handle(usize),
    /// A replica stops waiting for the reply to its write, which is lost or still in transit.
    LoseReply(usize),
    /// Read the Secret after a conflict or a lost reply.
    ReadAgain(usize),
    /// Write the status.
    WriteStatus(usize),
    /// A user changes something.
    User(UserChange),
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let replica = || Replica { renewed: None, task: Task::Idle };
        vec![World {
            now: 0,
            lease: Lease { holder: Holder::Replica(0), renewed: 0 },
            credential: Credential { spec: 0, source: 0, version: 0, status: Status::default() },
            target: None,
            version: 0,
            replicas: [Replica { renewed: Some(0), ..replica() }, replica()],
            in_transit: Vec::new(),
            budget: self.bound.budget,
            ledger: Ledger::new(),
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.now < self.bound.horizon {
            actions.push(Action::Tick);
        }
        for index in 0..world.replicas.len() {
            actions.extend(election::actions(self, world, index));
            actions.extend(replica_actions(world, index));
        }
        actions.extend((0..world.in_transit.len()).map(Action::Handle));
        if world.budget.changes > 0 {
            actions.extend(user::possible(world).into_iter().map(Action::User));
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Tick => tick(&mut world),
            Action::Renew(index) => election::renew(&mut world, index),
            Action::Take(index) => election::take(&mut world, index),
            Action::Crash(index) => election::end(&mut world, index, Holder::Gone),
            Action::Release(index) => election::end(&mut world, index, Holder::Nobody),
            Action::Handle(place) => crate::server::handle(self, &mut world, place),
            Action::User(change) => user::act(&mut world, change),
            Action::LoseAnswer(index) | Action::LoseReply(index) => {
                world.budget.losses -= 1;
                replica::step(self, &mut world, index, action);
            }
            Action::Reconcile(index)
            | Action::Send(index)
            | Action::Answer(index)
            | Action::Confirm(index)
            | Action::Write(index)
            | Action::ReadAgain(index)
            | Action::WriteStatus(index) => replica::step(self, &mut world, index, action),
        }
        // An action that changes nothing is none.
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        ledger::properties()
    }
}

fn replica_actions(world: &World, index: usize) -> Vec<Action> {
    let replica = &world.replicas[index];
    let lossy = world.budget.losses > 0;
    match replica.task {
        // The controller runs only during a term.
        Task::Idle if replica.renewed.is_some() => vec![Action::Reconcile(index)],
        Task::Idle => vec![],
        Task::Deciding(_) => vec![Action::Send(index)],
        Task::Requested(_) if lossy => vec![Action::Answer(index), Action::LoseAnswer(index)],
        Task::Requested(_) => vec![Action::Answer(index)],
        Task::Holding(_) => vec![Action::Confirm(index)],
        Task::Confirmed(_) => vec![Action::Write(index)],
        Task::Writing(_) if lossy => vec![Action::LoseReply(index)],
        Task::Writing(_) => vec![],
        Task::Unsure(_) => vec![Action::ReadAgain(index)],
        Task::Reporting(_) => vec![Action::WriteStatus(index)],
    }
}

/// No write outlives its timeout: the API server gives it up, and so does its sender. What a network may delay for longer
/// than that is beyond the control of every client.
fn tick(world: &mut World) {
    world.now += 1;
    world.in_transit.retain(|write| write.until > world.now);
    for (index, replica) in world.replicas.iter_mut().enumerate() {
        if let Task::Writing(in_flight) = replica.task
            && !world.in_transit.iter().any(|write| write.by == index && write.in_flight == in_flight)
        {
            replica.task = Task::Unsure(in_flight);
        }
    }
    note_due(world);
}

/// Records when the stored token's renewal is due.
pub fn note_due(world: &mut World) {
    let token = world.target.and_then(|secret| secret.token);
    if let Some(token) = token.filter(|token| token.renewal().is_some_and(|time| time <= crate::world::at(world.now))) {
        world.ledger.due(token.number);
    }
}

/// Whether a replica may write, by its own knowledge.
pub fn may_write(world: &World, index: usize) -> bool {
    believes(world, index, rules::may_write)
}

/// The time that a write of a replica may take, by its own knowledge.
pub fn write_time(world: &World, index: usize) -> std::time::Duration {
    believes(world, index, rules::write_time)
}

/// Whether a replica may start something, by its own knowledge.
pub fn may_start(world: &World, index: usize) -> bool {
    believes(world, index, rules::may_start)
}

fn believes<T: Default>(world: &World, index: usize, rule: fn(std::time::Duration, std::time::Duration) -> T) -> T {
    let sent = world.replicas[index].renewed;
    sent.map(|sent| rule(between(sent, world.now), crate::world::LEASE)).unwrap_or_default()
}
