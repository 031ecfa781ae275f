//! Unsealing: a process whose key custodians hold starts sealed, and opens when enough of them have
//! each given a share, under certificates of their own.
//!
//! Shares are in memory only, for a while, and of each process by itself: every node that is to
//! open is unsealed. There is no verb that seals it again but its end, and none that gives a key or
//! a share back.

use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::grant::{Granted, KeysStatus, KeysUnseal};
use super::idempotency::IdempotencyKey;
use super::{Internal, Refusal, Witness, process};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::seal::custody::{Gathering, GiveRefused, Given, Share, SharedKek};
use crate::seal::{KekId, UnwrapKey};

/// A key that waits for its custodians, and then is held.
#[derive(Debug)]
pub struct Custody {
    kek: KekId,
    ceremony: String,
    threshold: u8,
    /// Of one share at a time, across the writing of its audit event.
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    gathering: Gathering,
    /// With which idempotency keys the shares came that are here.
    keys: Vec<(String, String)>,
}

/// A share, as a client gives it.
#[derive(Debug)]
pub struct ShareOrder {
    /// The key that it is of.
    pub kek: String,
    /// The splitting that it is of.
    pub ceremony: String,
    /// The share.
    pub share: Zeroizing<Vec<u8>>,
}

/// How a process's keys stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealStatus {
    /// Whether tokens cannot be opened.
    pub sealed: bool,
    /// The key that custodians hold, where they do.
    pub custody: Option<CustodyStatus>,
}

/// How far custodians have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustodyStatus {
    /// The key.
    pub kek: String,
    /// The splitting whose shares open it.
    pub ceremony: String,
    /// Shares that open it.
    pub threshold: u8,
    /// Shares that are here.
    pub given: u8,
    /// When those are forgotten.
    pub forgotten_at: Option<Timestamp>,
}

/// A share that was given: how things stand now, and what became of it.
#[derive(Debug)]
pub struct Gave {
    /// How things stand.
    pub status: SealStatus,
    /// Whether this share was of use; it is not when the key is open already.
    pub taken: bool,
    /// Whether this repeats an earlier answer.
    pub replayed: bool,
}

impl Custody {
    /// A key that is waited for; shares are forgotten `window_s_max` seconds after the first.
    #[must_use]
    pub fn new(shared: SharedKek, window_s_max: u32) -> Self {
        Self {
            kek: shared.kek().clone(),
            ceremony: shared.ceremony().to_string(),
            threshold: shared.threshold(),
            waiting: Mutex::new(Waiting {
                gathering: Gathering::new(shared, window_s_max),
                keys: Vec::new(),
            }),
        }
    }

    /// The key that is waited for.
    #[must_use]
    pub const fn kek(&self) -> &KekId {
        &self.kek
    }
}

impl Internal {
    /// Whether custodians have still to open the key.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        let open = |custody: &Custody| self.opener.holds(&custody.kek);
        self.custody.as_ref().is_some_and(|custody| !open(custody))
    }

    /// # Errors
    /// [`Refusal::Sealed`] while it is: before anything is written down of what needs the key.
    pub(crate) fn require_unsealed(&self) -> Result<(), Refusal> {
        if self.is_sealed() {
            Err(Refusal::Sealed)
        } else {
            Ok(())
        }
    }

    /// How the keys stand; that it was asked is an event.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn seal_status(&self, granted: &Granted<KeysStatus>) -> Result<SealStatus, Refusal> {
        let subject = "keys.seal_status".to_owned();
        self.common
            .witness_read(granted, Action::StatusRead, subject)
            .await?;
        Ok(self.status().await)
    }

    /// The same for the process's own probes.
    pub async fn status(&self) -> SealStatus {
        match &self.custody {
            Some(custody) => self.status_of(custody, &custody.waiting.lock().await.gathering),
            None => SealStatus {
                sealed: false,
                custody: None,
            },
        }
    }

    fn status_of(&self, custody: &Custody, gathering: &Gathering) -> SealStatus {
        SealStatus {
            sealed: self.is_sealed(),
            custody: Some(CustodyStatus {
                kek: custody.kek.to_string(),
                ceremony: custody.ceremony.clone(),
                threshold: custody.threshold,
                given: gathering.count(),
                forgotten_at: gathering.forgotten_at(),
            }),
        }
    }

    /// Takes a custodian's share; the one that reaches the threshold opens the key.
    ///
    /// # Errors
    /// [`Refusal::Impossible`] where the share is not taken, in words that say why;
    /// [`Refusal::IdempotencyMismatch`]; what the store refuses, and then nothing was taken.
    #[tracing::instrument(name = "keys.unseal", skip_all)]
    pub async fn give_share(
        &self,
        granted: &Granted<KeysUnseal>,
        order: ShareOrder,
        key: Option<&IdempotencyKey>,
    ) -> Result<Gave, Refusal> {
        let Some(custody) = &self.custody else {
            return Err(Refusal::Impossible(
                "No custodians hold this process's key.",
            ));
        };
        let mut waiting = custody.waiting.lock().await;
        let now = self.common.now();
        self.forget_late_shares(custody, &mut waiting, now).await?;
        let client = granted.client();
        let given = Given {
            client,
            kek: &order.kek,
            ceremony: &order.ceremony,
            share: &order.share,
        };

        // 1. Whether it is of use: a repetition is answered as before, and an open key needs none.
        if let Some(replayed) = waiting.replays(&given, key)? {
            return Ok(Gave {
                status: self.status_of(custody, &waiting.gathering),
                taken: true,
                replayed,
            });
        }
        if !self.is_sealed() {
            self.witness_share(granted, custody, None, Outcome::Refused)
                .await?;
            return Ok(Gave {
                status: self.status_of(custody, &waiting.gathering),
                taken: false,
                replayed: false,
            });
        }

        // 2. It is checked and written down, and then kept.
        let share = match waiting.gathering.check(&given) {
            Ok(share) => share,
            Err(refused) => {
                tracing::warn!(%refused, client, "a custodian's share is refused");
                self.witness_share(granted, custody, None, Outcome::Refused)
                    .await?;
                return Err(refusal(refused));
            }
        };
        self.witness_share(granted, custody, Some(&share), Outcome::Success)
            .await?;
        waiting.gathering.keep(client, share, now);
        if let Some(key) = key {
            let key = (client.to_owned(), key.as_str().to_owned());
            waiting.keys.push(key);
        }

        // 3. Enough shares open the key.
        self.open_with_shares(granted, custody, &mut waiting)
            .await?;
        Ok(Gave {
            status: self.status_of(custody, &waiting.gathering),
            taken: true,
            replayed: false,
        })
    }

    async fn open_with_shares(
        &self,
        granted: &Granted<KeysUnseal>,
        custody: &Custody,
        waiting: &mut Waiting,
    ) -> Result<(), Refusal> {
        let Some(opened) = waiting.gathering.open() else {
            return Ok(());
        };
        waiting.keys.clear();
        let outcome = match &opened {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failed,
        };
        let subject = Some(custody.kek.to_string());
        let witness = Witness::of(granted);
        let event = self
            .common
            .event(&witness, Action::KeysUnsealed, outcome, subject);
        self.common.store.record(event).await?;
        let private = opened.map_err(|why| {
            tracing::error!(%why, "the shares were right, and the private document does not open");
            Refusal::Sealed
        })?;
        self.opener.hold(UnwrapKey::File(private))?;
        tracing::info!(kek = %custody.kek, "unsealed by its custodians");
        // Another database than the key's would be found at the first charge.
        if let Err(refusal) = self.open_canary().await {
            tracing::error!(%refusal, "the canary of the store does not open with this key");
        }
        Ok(())
    }

    /// Writes that a share was given, before it is kept. Of the share only its number is named.
    async fn witness_share(
        &self,
        granted: &Granted<KeysUnseal>,
        custody: &Custody,
        share: Option<&Share>,
        outcome: Outcome,
    ) -> Result<(), Refusal> {
        let subject = match share {
            Some(share) => format!("{}/{}/{}", custody.kek, custody.ceremony, share.index()),
            None => custody.kek.to_string(),
        };
        let witness = Witness::of(granted);
        let event = self
            .common
            .event(&witness, Action::KeysShareGiven, outcome, Some(subject));
        Ok(self.common.store.record(event).await?)
    }

    /// Forgets shares that waited too long. Call it every few seconds.
    pub async fn forget_shares(&self) {
        let Some(custody) = &self.custody else { return };
        let mut waiting = custody.waiting.lock().await;
        let now = self.common.now();
        if let Err(refusal) = self.forget_late_shares(custody, &mut waiting, now).await {
            tracing::warn!(%refusal, "that shares were forgotten could not be written down");
        }
    }

    async fn forget_late_shares(
        &self,
        custody: &Custody,
        waiting: &mut Waiting,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        // Wiped first: that their end cannot be written is no reason to keep them.
        if waiting.gathering.forget_expired(now) == 0 {
            return Ok(());
        }
        waiting.keys.clear();
        let subject = Some(custody.kek.to_string());
        let action = Action::KeysSharesForgotten;
        let event = self
            .common
            .event(&process(), action, Outcome::Success, subject);
        Ok(self.common.store.record(event).await?)
    }
}

impl Waiting {
    /// Whether a client sends what it has sent before under the same key.
    fn replays(
        &self,
        given: &Given<'_>,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<bool>, Refusal> {
        let Some(key) = key else { return Ok(None) };
        let known =
            |(client, known): &(String, String)| client == given.client && known == key.as_str();
        if !self.keys.iter().any(known) {
            return Ok(None);
        }
        if self.gathering.repeats(given) {
            Ok(Some(true))
        } else {
            Err(Refusal::IdempotencyMismatch)
        }
    }
}

/// What a client is told of its share.
const fn refusal(refused: GiveRefused) -> Refusal {
    Refusal::Impossible(match refused {
        GiveRefused::OtherKey => "The share is of another key than the one that waits here.",
        GiveRefused::OtherCeremony => {
            "The share is of another ceremony: it opens another copy of the private document."
        }
        GiveRefused::WrongShare => "The share is none of this ceremony's.",
        GiveRefused::SameClient => {
            "This client has given a share already; the next comes from another person."
        }
        GiveRefused::SameShare => "This share has been given already.",
    })
}
