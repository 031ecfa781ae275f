//! The reference by which a card is charged: what gets sealed.
//!
//! Read from the processor's answers and from opened values only through [`Reference::new`], which
//! checks each id: they become parts of request paths.

use std::fmt;

use zeroize::Zeroizing;

/// The processor's ids of a vaulted card. Whoever has them and the processor's key can charge it,
/// so they are wiped on drop, and neither copied nor printed:
///
/// ```compile_fail,E0599
/// let reference = cloakroom::processor::Reference::new("cus_1", "pm_1", None).unwrap();
/// let _copy = reference.clone();
/// ```
/// ```compile_fail,E0277
/// let reference = cloakroom::processor::Reference::new("cus_1", "pm_1", None).unwrap();
/// let _text = format!("{reference}");
/// ```
pub struct Reference {
    customer: Zeroizing<String>,
    payment_method: Zeroizing<String>,
    setup: Option<Zeroizing<String>>,
}

/// Not a reference: an id of another form, or bytes that [`Reference::encode`] did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reference to a card at the processor")]
pub struct ReferenceRefused;

impl Reference {
    /// No id is longer.
    pub const ID_BYTES_MAX: u8 = 160;
    /// No encoded reference is longer: a version, and three ids with their lengths.
    pub const ENCODED_BYTES_MAX: usize = 484;
    const VERSION: u8 = 1;

    /// A reference of these ids.
    ///
    /// # Errors
    /// [`ReferenceRefused`] unless each is 1 to 160 letters, digits and `_`.
    pub fn new(
        customer: &str,
        payment_method: &str,
        setup: Option<&str>,
    ) -> Result<Self, ReferenceRefused> {
        let checked = |id: &str| {
            is_id(id)
                .then(|| Zeroizing::new(id.to_owned()))
                .ok_or(ReferenceRefused)
        };
        Ok(Self {
            customer: checked(customer)?,
            payment_method: checked(payment_method)?,
            setup: setup.map(checked).transpose()?,
        })
    }

    /// The customer to whom the card is attached: `cus_…`.
    #[must_use]
    pub fn customer(&self) -> &str {
        &self.customer
    }

    /// The card at the processor: `pm_…`.
    #[must_use]
    pub fn payment_method(&self) -> &str {
        &self.payment_method
    }

    /// The act by which the issuer agreed to later charges, where there was one: `seti_…`.
    #[must_use]
    pub fn setup(&self) -> Option<&str> {
        self.setup.as_deref().map(String::as_str)
    }

    /// The bytes to seal: version 1, then customer, payment method and setup, each after its
    /// length in one byte; no setup is an empty one.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::ENCODED_BYTES_MAX));
        bytes.push(Self::VERSION);
        for id in [
            self.customer(),
            self.payment_method(),
            self.setup().unwrap_or_default(),
        ] {
            // `new` let no id longer than 160 bytes in, so the length always fits its byte.
            bytes.push(u8::try_from(id.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(id.as_bytes());
        }
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`ReferenceRefused`] for anything else, whatever is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReferenceRefused> {
        let mut rest = bytes
            .strip_prefix(&[Self::VERSION])
            .ok_or(ReferenceRefused)?;
        let mut next = || {
            let (&length, tail) = rest.split_first().ok_or(ReferenceRefused)?;
            let (id, tail) = tail
                .split_at_checked(usize::from(length))
                .ok_or(ReferenceRefused)?;
            rest = tail;
            std::str::from_utf8(id).map_err(|_| ReferenceRefused)
        };
        let (customer, payment_method, setup) = (next()?, next()?, next()?);
        if rest.is_empty() {
            Self::new(
                customer,
                payment_method,
                Some(setup).filter(|id| !id.is_empty()),
            )
        } else {
            Err(ReferenceRefused)
        }
    }
}

/// Letters, digits and `_`: nothing that could end a path segment or a form value.
pub(super) fn is_id(text: &str) -> bool {
    (1..=usize::from(Reference::ID_BYTES_MAX)).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reference(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_survives_its_encoding() {
        for setup in [None, Some("seti_3")] {
            let encoded = Reference::new("cus_1", "pm_2", setup).unwrap().encode();
            let decoded = Reference::decode(&encoded).unwrap();
            assert_eq!(
                (decoded.customer(), decoded.payment_method()),
                ("cus_1", "pm_2")
            );
            assert_eq!(decoded.setup(), setup);
        }
    }

    #[test]
    fn the_longest_reference_fits_what_gets_sealed() {
        let id = "x".repeat(160);
        let encoded = Reference::new(&id, &id, Some(&id)).unwrap().encode();
        assert_eq!(encoded.len(), Reference::ENCODED_BYTES_MAX);
        assert_eq!(encoded.capacity(), Reference::ENCODED_BYTES_MAX);
        assert!(Reference::decode(&encoded).is_ok());
    }

    #[test]
    fn an_id_that_could_leave_its_path_segment_is_refused() {
        let long = "x".repeat(161);
        for id in ["", "pm_1/../x", "pm_1?x", "pm 1", "pm_é", "pm-1", &long] {
            assert!(Reference::new("cus_1", id, None).is_err(), "{id}");
            assert!(Reference::new(id, "pm_1", None).is_err(), "{id}");
        }
        assert!(Reference::new("cus_1", "pm_1", Some("")).is_err());
    }

    #[test]
    fn bytes_cut_at_any_place_or_extended_are_refused() {
        let encoded = Reference::new("cus_1", "pm_2", Some("seti_3"))
            .unwrap()
            .encode();
        for length in 0..encoded.len() {
            assert!(Reference::decode(&encoded[..length]).is_err(), "{length}");
        }
        let mut longer = encoded.to_vec();
        longer.push(0);
        assert!(Reference::decode(&longer).is_err());
        let mut other_version = encoded.to_vec();
        other_version[0] = 2;
        assert!(Reference::decode(&other_version).is_err());
    }

    #[test]
    fn a_reference_prints_nothing_of_itself() {
        let reference = Reference::new("cus_1", "pm_2", None).unwrap();
        assert_eq!(format!("{reference:?}"), "Reference(..)");
    }
}
