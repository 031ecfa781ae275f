//! The lease protocol, played by several owners over one charge against a model of it: at most one
//! owner's ending has effect, and who has lost the lease changes nothing by deferring or abandoning.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

const OWNERS: usize = 3;
/// Seconds of a lease.
const LEASE_S: u32 = 60;
/// Seconds after which a payment that is processing is asked about again.
const RETRY_S: u32 = 5;

#[derive(Clone, Copy, Debug)]
enum Act {
    Wait(u32),
    /// A worker takes what is due.
    Take(usize),
    /// The client repeats its request.
    Repeat(usize),
    Defer(usize, u32),
    /// The owner writes down what the processor said.
    Settle(usize, ChargeStatus),
    /// Somebody without a lease does.
    Observe(ChargeStatus),
    AbandonNeverSent(usize),
    AbandonRefused(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let said = || {
        proptest::sample::select(vec![
            ChargeStatus::Processing,
            ChargeStatus::Succeeded,
            ChargeStatus::Declined,
        ])
    };
    prop_oneof![
        4 => (1..90_u32).prop_map(Act::Wait),
        4 => (0..OWNERS).prop_map(Act::Take),
        2 => (0..OWNERS).prop_map(Act::Repeat),
        3 => (0..OWNERS, 1..90_u32).prop_map(|(owner, seconds)| Act::Defer(owner, seconds)),
        1 => (0..OWNERS, said()).prop_map(|(owner, said)| Act::Settle(owner, said)),
        1 => said().prop_map(Act::Observe),
        2 => (0..OWNERS).prop_map(Act::AbandonNeverSent),
        2 => (0..OWNERS).prop_map(Act::AbandonRefused),
    ]
}

/// What should be so, and what each owner believes to have.
struct Play<'s> {
    store: &'s Store,
    charge: NewCharge,
    key: String,
    /// Seconds since the start.
    now: u32,
    owners: [Option<Lease>; OWNERS],
    status: ChargeStatus,
    payment: bool,
    contradicted: bool,
    due_at: Option<u32>,
    holder: Option<i64>,
    resumed: bool,
    abandoned: u32,
    version: i64,
}

impl<'s> Play<'s> {
    async fn begin(store: &'s Store, token: TokenId) -> Self {
        let key = fresh("key");
        let Charging { charge, lease } = charging_on(store, token, &key).await;
        Self {
            store,
            charge,
            key,
            now: 0,
            holder: Some(lease.token()),
            owners: [Some(lease), None, None],
            status: ChargeStatus::Processing,
            payment: false,
            contradicted: false,
            due_at: Some(LEASE_S),
            resumed: false,
            abandoned: 0,
            version: 1,
        }
    }

    async fn play(&mut self, act: Act) {
        match act {
            Act::Wait(seconds) => self.now = self.now.saturating_add(seconds),
            Act::Take(owner) => self.take(owner).await,
            Act::Repeat(owner) => self.repeat(owner).await,
            Act::Defer(owner, seconds) => self.defer(owner, seconds).await,
            Act::Settle(owner, said) => self.settle(owner, said).await,
            Act::Observe(said) => {
                self.write(Authority::Observer, said).await;
                self.believe(said, None);
            }
            Act::AbandonNeverSent(owner) => self.abandon_never_sent(owner).await,
            Act::AbandonRefused(owner) => {
                if let Some(lease) = self.owners[owner].take() {
                    self.abandon(NothingDone::refused(lease)).await;
                }
            }
        }
        self.check(act).await;
    }

    async fn take(&mut self, owner: usize) {
        let due = take_charges(self.store, self.now).await;
        let mine = due.into_iter().find(|due| due.charge.id == self.charge.id);
        let expected = self.due_at.is_some_and(|at| at <= self.now);
        assert_eq!(mine.is_some(), expected);
        if let Some(due) = mine {
            self.gets(owner, due.lease);
        }
    }

    async fn repeat(&mut self, owner: usize) {
        if self.abandoned > 0 {
            // The key is free: the same request would be a new charge.
            return;
        }
        let now = START.plus_s(self.now);
        let asked = Claim {
            now,
            ..claim(&self.key)
        };
        let again = NewCharge {
            lease_until: now.plus_s(LEASE_S),
            ..charge_of(self.charge.token)
        };
        let begun = self.store.begin_charge(asked, again, opening()).await;
        match begun.unwrap() {
            Begun::Resumed(work) => {
                assert!(self.due_at.is_some_and(|at| at <= self.now));
                self.gets(owner, work.lease);
            }
            Begun::InFlight => assert!(self.due_at.is_some_and(|at| at > self.now)),
            Begun::Replayed(_) => assert_eq!(self.due_at, None),
            other @ (Begun::New(_) | Begun::Mismatch | Begun::Refused(_)) => panic!("{other:?}"),
        }
    }

    fn gets(&mut self, owner: usize, lease: Lease) {
        assert!(lease.is_resumed());
        self.resumed = true;
        self.holder = Some(lease.token());
        self.due_at = Some(self.now.saturating_add(LEASE_S));
        self.owners[owner] = Some(lease);
    }

    async fn defer(&mut self, owner: usize, seconds: u32) {
        let Some(lease) = self.owners[owner].take() else {
            return;
        };
        let effective = self.holder == Some(lease.token());
        let until = START.plus_s(self.now.saturating_add(seconds));
        self.store
            .defer_charge(lease, (&account(), self.charge.id), until)
            .await
            .unwrap();
        if effective {
            self.due_at = Some(self.now.saturating_add(seconds));
            self.holder = None;
        }
    }

    async fn settle(&mut self, owner: usize, said: ChargeStatus) {
        let Some(lease) = self.owners[owner].take() else {
            return;
        };
        self.write(Authority::Holder(&lease), said).await;
        self.believe(said, Some(lease.token()));
        self.owners[owner] = Some(lease);
    }

    async fn write(&self, authority: Authority<'_>, said: ChargeStatus) {
        let at = START.plus_s(self.now);
        let said = ChargeOutcome {
            retry_at: (said == ChargeStatus::Processing).then(|| at.plus_s(RETRY_S)),
            at,
            ..outcome(said)
        };
        settle(self.store, authority, self.charge.id, said)
            .await
            .unwrap();
    }

    /// Knowledge needs no lease; but where another holds the charge, its lease is left alone.
    fn believe(&mut self, said: ChargeStatus, mine: Option<i64>) {
        use ChargeStatus::{Canceled, Declined, Processing, Succeeded};
        let held = self.holder.is_some() && self.due_at.is_some_and(|at| at > self.now);
        match (self.status, said) {
            (Processing, Processing) => {
                self.payment = true;
                if !held || self.holder == mine {
                    self.due_at = Some(self.now.saturating_add(RETRY_S));
                    self.holder = None;
                }
            }
            (Processing, ended) => {
                self.payment = true;
                self.status = ended;
                self.due_at = None;
                self.holder = None;
            }
            (Declined | Canceled, Succeeded) | (Succeeded, Declined) => self.contradicted = true,
            _ => {}
        }
    }

    async fn abandon_never_sent(&mut self, owner: usize) {
        let Some(lease) = self.owners[owner].take() else {
            return;
        };
        let resumed = lease.is_resumed();
        match NothingDone::never_sent(lease) {
            Ok(nothing) => {
                assert!(!resumed);
                if self.abandon(nothing).await {
                    assert!(!self.resumed, "an earlier owner may have sent it");
                }
            }
            Err(lease) => {
                assert!(resumed);
                self.owners[owner] = Some(lease);
            }
        }
    }

    async fn abandon(&mut self, nothing: NothingDone) -> bool {
        let effective = self.status == ChargeStatus::Processing
            && !self.payment
            && self.holder == Some(nothing.token());
        let row = self.row().await;
        let done = (event(Action::ChargeSettled), START.plus_s(self.now));
        let abandoned = self
            .store
            .abandon_charge(nothing, row, done, |_| news())
            .await
            .unwrap();
        assert_eq!(abandoned, effective);
        if abandoned {
            self.abandoned = self.abandoned.saturating_add(1);
            self.status = ChargeStatus::Canceled;
            self.due_at = None;
            self.holder = None;
        }
        abandoned
    }

    async fn row(&self) -> ChargeRow {
        let row = self.store.charge(&account(), self.charge.id).await;
        row.unwrap().unwrap()
    }

    async fn check(&mut self, act: Act) {
        let row = self.row().await;
        assert_eq!(row.status, self.status, "{act:?}");
        assert_eq!(row.lease_until, self.due_at.map(|at| START.plus_s(at)));
        assert_eq!(row.lease_token, self.holder, "{act:?}");
        assert_eq!(row.payment.is_some(), self.payment, "{act:?}");
        assert_eq!(row.contradiction.is_some(), self.contradicted, "{act:?}");
        assert!(row.version >= self.version, "{act:?}");
        self.version = row.version;
        assert!(self.abandoned <= 1, "one ending has effect");
    }

    /// Leaves nothing due behind.
    async fn end(mut self) {
        self.play(Act::Observe(ChargeStatus::Succeeded)).await;
        assert_eq!(self.row().await.lease_until, None);
    }
}

#[test]
fn of_many_owners_one_at_a_time_may_end_the_work() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let bench = runtime.block_on(Bench::new());
    let token = runtime.block_on(bench.token()).id;
    let mut runner = TestRunner::new(Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&proptest::collection::vec(act(), 1..24), |acts| {
            runtime.block_on(async {
                let mut play = Play::begin(&bench.store, token).await;
                for act in acts {
                    play.play(act).await;
                }
                play.end().await;
            });
            Ok(())
        })
        .unwrap();
}
