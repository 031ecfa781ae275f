//! Ids: what the world calls a token, a session, a charge.
//!
//! An id is a [TypeID](https://github.com/jetify-com/typeid): a lower-case prefix, `_`, and the
//! 26-character base32 of a `UUIDv7` (RFC 9562). In the test environment the prefix starts with
//! `test_`, so that an id of the wrong environment is seen, and refused, by its name. An id says
//! nothing about what it names and grants nothing to who knows it.

use std::fmt;
use std::marker::PhantomData;

use uuid::Uuid;

use crate::clock::Timestamp;

/// Which of the two worlds a process serves; they share no key, no id and no row.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Published test cards and the processor's test mode.
    Test,
    /// Real cards and real money.
    Live,
}

impl Environment {
    /// `test` or `live`, as in the configuration, in file headers and in authenticated data.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Live => "live",
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Test => "test_",
            Self::Live => "",
        }
    }
}

/// What an id names.
pub trait Kind: 'static {
    /// The prefix without the environment: `tok`.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $alias:ident = $marker:ident($prefix:literal);)+) => {$(
        #[doc = concat!("The kind of ids that start with `", $prefix, "_`.")]
        #[derive(Clone, Copy, Debug)]
        pub enum $marker {}
        impl Kind for $marker {
            const PREFIX: &'static str = $prefix;
        }
        $(#[$doc])*
        pub type $alias = Id<$marker>;
    )+};
}

kinds! {
    /// A token: the ticket a merchant keeps instead of a card.
    TokenId = Token("tok");
    /// A capture session: the right to turn one card into one token.
    SessionId = Session("cs");
    /// A charge.
    ChargeId = Charge("chg");
    /// A refund.
    RefundId = Refund("ref");
    /// An event: in the audit log, or in the feed of what happened.
    EventId = Event("evt");
    /// A report from anybody.
    ReportId = Report("rep");
    /// An incident.
    IncidentId = Incident("inc");
    /// One run that tells customers of an incident.
    RunId = Run("run");
    /// An alert to the operator.
    AlertId = Alert("alr");
    /// What a rule of the watch does to somebody for a time.
    BlockId = Block("blk");
    /// A data key, under which processor references are sealed.
    DataKeyId = DataKey("dek");
    /// A request, as in `X-Request-Id`.
    RequestId = Request("req");
}

/// The id of one `K`.
pub struct Id<K> {
    environment: Environment,
    uuid: Uuid,
    kind: PhantomData<fn() -> K>,
}

/// Why a text is not an id of the expected kind. The text itself is never part of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a TypeID of this kind.
    #[error("not an id of the expected kind")]
    Malformed,
    /// A live id in the test environment, or a test id in the live one.
    #[error("an id of the other environment")]
    WrongEnvironment,
}

impl<K: Kind> Id<K> {
    /// A new id: time-ordered by `now`, with 74 random bits behind.
    #[must_use]
    pub fn new(environment: Environment, now: Timestamp) -> Self {
        let mut random = [0_u8; 10];
        crate::random::fill(&mut random);
        let unix_ms = u64::try_from(now.unix_ms()).unwrap_or(0);
        let uuid = uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid();
        Self::from_uuid(environment, uuid)
    }

    /// The least id that can have been made at that moment: ids made earlier sort before it.
    #[must_use]
    pub fn first_at(environment: Environment, at: Timestamp) -> Self {
        let unix_ms = u64::try_from(at.unix_ms()).unwrap_or(0);
        let uuid = uuid::Builder::from_unix_timestamp_millis(unix_ms, &[0; 10]).into_uuid();
        Self::from_uuid(environment, uuid)
    }

    /// The id with these 16 bytes, as they stand in a sealed value's header.
    #[must_use]
    pub const fn from_uuid(environment: Environment, uuid: Uuid) -> Self {
        Self {
            environment,
            uuid,
            kind: PhantomData,
        }
    }

    /// The 16 bytes behind the name.
    #[must_use]
    pub const fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Reads an id that a caller or a row presents to a process serving `environment`.
    ///
    /// # Errors
    /// [`Refused`] says which kind of wrong it is, and never what was presented.
    pub fn parse(text: &str, environment: Environment) -> Result<Self, Refused> {
        let (stated, rest) = match text.strip_prefix(Environment::Test.prefix()) {
            Some(rest) => (Environment::Test, rest),
            None => (Environment::Live, text),
        };
        let suffix = rest
            .strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .ok_or(Refused::Malformed)?;
        let uuid = base32::decode(suffix).ok_or(Refused::Malformed)?;
        if stated == environment {
            Ok(Self::from_uuid(environment, uuid))
        } else {
            Err(Refused::WrongEnvironment)
        }
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}_{}",
            self.environment.prefix(),
            K::PREFIX,
            base32::encode(self.uuid)
        )
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// Written out because a derive would ask the same of `K`, which is never a value.
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.environment == other.environment && self.uuid == other.uuid
    }
}
impl<K> Eq for Id<K> {}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.environment.hash(state);
        self.uuid.hash(state);
    }
}

/// The TypeID alphabet: Crockford's base32 in lower case, 130 bits for 128, first character 0-7.
mod base32 {
    use uuid::Uuid;

    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    const LENGTH: usize = 26;

    pub(super) fn encode(uuid: Uuid) -> String {
        let value = uuid.as_u128();
        (0..LENGTH)
            .rev()
            .filter_map(|place| {
                let shift = u32::try_from(place).ok()?.checked_mul(5)?;
                let digit = usize::try_from((value >> shift) & 0x1f).ok()?;
                ALPHABET.get(digit).map(|&letter| char::from(letter))
            })
            .collect()
    }

    pub(super) fn decode(text: &str) -> Option<Uuid> {
        // 26 characters of 5 bits are 130 bits: the first may carry only three.
        if text.len() != LENGTH || text.as_bytes().first()? > &b'7' {
            return None;
        }
        let value = text.bytes().try_fold(0_u128, |value, letter| {
            let digit = ALPHABET.iter().position(|&known| known == letter)?;
            Some((value << 5) | u128::try_from(digit).ok()?)
        })?;
        Some(Uuid::from_u128(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_of_a_moment_sorts_behind_every_earlier_one() {
        let at = |ms| Timestamp::from_unix_ms(ms);
        let first = TokenId::first_at(Environment::Test, at(1_795_400_000_000)).to_string();
        for _ in 0..100 {
            let of = |ms| TokenId::new(Environment::Test, at(ms)).to_string();
            assert!(of(1_795_399_999_999) < first);
            assert!(of(1_795_400_000_000) >= first);
        }
    }

    // Published vectors: https://github.com/jetify-com/typeid/tree/main/spec (valid.yml).
    const VECTORS: [(&str, &str); 5] = [
        (
            "00000000000000000000000000",
            "00000000-0000-0000-0000-000000000000",
        ),
        (
            "00000000000000000000000001",
            "00000000-0000-0000-0000-000000000001",
        ),
        (
            "0000000000000000000000000g",
            "00000000-0000-0000-0000-000000000010",
        ),
        (
            "7zzzzzzzzzzzzzzzzzzzzzzzzz",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ),
        (
            "01h455vb4pex5vsknk084sn02q",
            "01890a5d-ac96-774b-bcce-b302099a8057",
        ),
    ];

    #[test]
    fn the_published_typeid_vectors_hold_both_ways() {
        for (suffix, uuid) in VECTORS {
            let id = TokenId::from_uuid(Environment::Live, Uuid::parse_str(uuid).unwrap());
            assert_eq!(id.to_string(), format!("tok_{suffix}"));
            assert_eq!(
                TokenId::parse(&format!("tok_{suffix}"), Environment::Live),
                Ok(id)
            );
        }
    }

    #[test]
    fn an_id_of_the_other_environment_is_refused_by_name() {
        let id = TokenId::new(Environment::Test, Timestamp::from_unix_ms(1));
        assert!(id.to_string().starts_with("test_tok_"));
        assert_eq!(TokenId::parse(&id.to_string(), Environment::Test), Ok(id));
        assert_eq!(
            TokenId::parse(&id.to_string(), Environment::Live),
            Err(Refused::WrongEnvironment)
        );
    }

    #[test]
    fn what_is_not_exactly_an_id_is_malformed() {
        for text in [
            "",
            "_",
            "tok",
            "tok_",
            "test_",
            "test_tok_",
            "chg_01h455vb4pex5vsknk084sn02q",
            "tok_01H455VB4PEX5VSKNK084SN02Q",
            "tok_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "tok_01h455vb4pex5vsknk084sn02",
            "tok_01h455vb4pex5vsknk084sn02qq",
            "tok_01h455vb4pex5vsknk084sn0iu",
            "tok_01h455vb4pex5vsknk084sn02é",
            "tok__01h455vb4pex5vsknk084sn02",
            " tok_01h455vb4pex5vsknk084sn02q",
            "test_test_tok_01h455vb4pex5vsknk084sn02q",
        ] {
            assert_eq!(
                TokenId::parse(text, Environment::Live),
                Err(Refused::Malformed),
                "{text}"
            );
        }
    }

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let early = ChargeId::new(Environment::Live, Timestamp::from_unix_ms(1_000));
        let late = ChargeId::new(Environment::Live, Timestamp::from_unix_ms(2_000));
        assert!(early.to_string() < late.to_string());
    }
}
