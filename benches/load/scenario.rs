//! What each scenario prepares and sends.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Outcome;
use super::arguments::{Arguments, Kind};
use super::measure::{Meter, Run};
use super::pace::{Client, Pace, Plan};
use super::stage::Stage;
use super::tally::End;
use super::wire::{Connection, Endpoint, request};
use std::time::Duration;

/// Tokens that are read and charged in turn.
const TOKENS: usize = 1_000;
/// What is sent before the first run: connections, caches and the allocator are warm then.
const WARM_UP: Duration = Duration::from_secs(2);
/// Cards for the warm-up of `tokenize`.
const WARM_UP_CARDS: usize = 500;

/// Runs a scenario as often as the arguments say.
pub(crate) async fn run(kind: Kind, arguments: &Arguments, stage: &Stage) -> Outcome<Vec<Run>> {
    let scenario = Scenario {
        arguments,
        meter: Meter::new(kind, stage),
        stage,
    };
    let latency_ms = arguments.latency_ms_in(kind);
    match kind {
        Kind::Tokenize => scenario.tokenize(latency_ms).await,
        Kind::Read => {
            let requests = scenario.reads().await?;
            let endpoint = stage.billing()?;
            let reader = |first: usize| Reader {
                caller: Caller::new(endpoint.clone()),
                requests: Arc::clone(&requests),
                next: first,
            };
            scenario.repeat(latency_ms, reader).await
        }
        Kind::Charge => {
            let tails = scenario.charges().await?;
            let endpoint = stage.billing()?;
            let keys = Arc::new(AtomicU64::new(0));
            let charger = |first: usize| Charger {
                caller: Caller::new(endpoint.clone()),
                tails: Arc::clone(&tails),
                keys: Arc::clone(&keys),
                next: first,
                request: Vec::new(),
            };
            scenario.repeat(latency_ms, charger).await
        }
        Kind::Waiting => scenario.waiting(latency_ms).await,
    }
}

struct Scenario<'a> {
    arguments: &'a Arguments,
    stage: &'a Stage,
    meter: Meter<'a>,
}

impl Scenario<'_> {
    fn plan(&self, length: Duration) -> Plan {
        let pace = match self.arguments.rate {
            Some(per_s) => Pace::Open { per_s },
            None => Pace::Closed,
        };
        Plan {
            pace,
            length,
            ramp: Duration::ZERO,
            answered: Arc::default(),
        }
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.arguments.seconds.into())
    }

    /// A warm-up and the runs, with clients that have enough to send.
    async fn repeat<C: Client>(
        &self,
        latency_ms: u32,
        client: impl Fn(usize) -> C,
    ) -> Outcome<Vec<Run>> {
        let clients = || {
            let count = size(self.arguments.concurrency);
            (0..count)
                // Each starts at another token.
                .map(|number| client(number.saturating_mul(7)))
                .collect()
        };
        self.stage.set_latency(latency_ms).await?;
        self.meter.measure(&self.plan(WARM_UP), clients()).await?;
        let mut runs = Vec::new();
        for _ in 0..self.arguments.runs {
            runs.push(
                self.meter
                    .measure(&self.plan(self.length()), clients())
                    .await?,
            );
        }
        Ok(runs)
    }

    /// Each card needs a session, and sessions are made beforehand: as many as the warm-up says
    /// that a run will need.
    async fn tokenize(&self, latency_ms: u32) -> Outcome<Vec<Run>> {
        let pool = Arc::new(Pool::default());
        pool.fill(self.stage.posts(WARM_UP_CARDS).await?);
        let warm = self.post_cards(&pool, latency_ms, WARM_UP).await?;
        let per_s = match self.arguments.rate {
            Some(per_s) => f64::from(per_s),
            None => warm.throughput_per_s.max(20.0) * 1.5,
        };
        let mut runs = Vec::new();
        for _ in 0..self.arguments.runs {
            let cards = per_s * self.length().as_secs_f64();
            self.prepare(&pool, cards).await?;
            runs.push(self.post_cards(&pool, latency_ms, self.length()).await?);
        }
        Ok(runs)
    }

    async fn post_cards(
        &self,
        pool: &Arc<Pool>,
        latency_ms: u32,
        length: Duration,
    ) -> Outcome<Run> {
        self.stage.set_latency(latency_ms).await?;
        let clients = self.tokenizers(pool, self.arguments.concurrency)?;
        self.meter.measure(&self.plan(length), clients).await
    }

    /// Fills the pool up while the processor is quick.
    async fn prepare(&self, pool: &Arc<Pool>, cards: f64) -> Outcome<()> {
        self.stage.set_latency(0).await?;
        let wanted = Duration::from_secs_f64(cards).as_secs();
        let wanted = usize::try_from(wanted)?.saturating_add(64);
        let missing = wanted.saturating_sub(pool.len());
        pool.fill(self.stage.posts(missing).await?);
        Ok(())
    }

    fn tokenizers(&self, pool: &Arc<Pool>, count: u32) -> Outcome<Vec<Tokenizer>> {
        let endpoint = self.stage.capture()?;
        let tokenizer = |_| Tokenizer {
            endpoint: endpoint.clone(),
            pool: Arc::clone(pool),
        };
        Ok((0..count).map(tokenizer).collect())
    }

    /// Checkouts that come within two seconds and then stay as many: a closed loop, in which
    /// almost all wait for the processor at any time.
    async fn waiting(&self, latency_ms: u32) -> Outcome<Vec<Run>> {
        let checkouts = self.arguments.checkouts;
        let pool = Arc::new(Pool::default());
        // A card is two calls of the processor, one after the other.
        let rounds = self.length().as_secs_f64() * 500.0 / f64::from(latency_ms.max(50));
        let mut runs = Vec::new();
        for _ in 0..self.arguments.runs {
            self.prepare(&pool, f64::from(checkouts) * (rounds + 1.5))
                .await?;
            self.stage.set_latency(latency_ms).await?;
            let plan = Plan {
                pace: Pace::Closed,
                length: self.length(),
                ramp: Duration::from_secs(2),
                answered: Arc::default(),
            };
            let clients = self.tokenizers(&pool, checkouts)?;
            runs.push(self.meter.measure(&plan, clients).await?);
        }
        Ok(runs)
    }

    async fn reads(&self) -> Outcome<Arc<Vec<Vec<u8>>>> {
        let tokens = self.stage.tokens(TOKENS).await?;
        let read = |token: &String| request(&format!("GET /v1/tokens/{token}"), &[], "");
        Ok(Arc::new(tokens.iter().map(read).collect()))
    }

    /// All of a charge's request that comes behind its key.
    async fn charges(&self) -> Outcome<Arc<Vec<Vec<u8>>>> {
        let tokens = self.stage.tokens(TOKENS).await?;
        let tail = |token: &String| {
            let body = format!(r#"{{"token":"{token}","amount":1250,"currency":"eur"}}"#);
            let length = body.len();
            format!("\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
                .into_bytes()
        };
        Ok(Arc::new(tokens.iter().map(tail).collect()))
    }
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Requests that can be sent once.
#[derive(Default)]
struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    fn fill(&self, requests: Vec<Vec<u8>>) {
        self.lock().extend(requests);
    }

    fn take(&self) -> Option<Vec<u8>> {
        self.lock().pop()
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new shopper for each card.
struct Tokenizer {
    endpoint: Endpoint,
    pool: Arc<Pool>,
}

impl Client for Tokenizer {
    async fn send(&mut self) -> Option<End> {
        let post = self.pool.take()?;
        Some(Caller::new(self.endpoint.clone()).call(&post).await)
    }
}

/// A backend that reads tokens.
struct Reader {
    caller: Caller,
    requests: Arc<Vec<Vec<u8>>>,
    next: usize,
}

impl Client for Reader {
    async fn send(&mut self) -> Option<End> {
        let request = self.requests.get(self.next % TOKENS)?;
        self.next = self.next.wrapping_add(1);
        Some(self.caller.call(request).await)
    }
}

/// Billing: every charge is a new one.
struct Charger {
    caller: Caller,
    tails: Arc<Vec<Vec<u8>>>,
    keys: Arc<AtomicU64>,
    next: usize,
    request: Vec<u8>,
}

impl Client for Charger {
    async fn send(&mut self) -> Option<End> {
        let tail = self.tails.get(self.next % TOKENS)?;
        self.next = self.next.wrapping_add(1);
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        self.request.clear();
        write!(
            self.request,
            "POST /v1/charges HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: load-{key:012x}"
        )
        .ok()?;
        self.request.extend_from_slice(tail);
        Some(self.caller.call(&self.request).await)
    }
}

/// A client with a connection, as long as the service keeps it.
struct Caller {
    endpoint: Endpoint,
    connection: Option<Connection>,
}

impl Caller {
    const fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            connection: None,
        }
    }

    async fn call(&mut self, request: &[u8]) -> End {
        match self.exchange(request).await {
            Ok(status) => End::Status(status),
            Err(error) => End::Broken(error.kind()),
        }
    }

    async fn exchange(&mut self, request: &[u8]) -> std::io::Result<u16> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.endpoint.connect().await?,
        };
        let answer = connection.exchange(request).await?;
        if answer.kept {
            self.connection = Some(connection);
        }
        Ok(answer.status)
    }
}
