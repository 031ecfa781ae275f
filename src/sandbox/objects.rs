//! What all of Stripe's objects share: an id, a time of birth, a wire form; so how one of them is
//! read, and how many are listed (<https://docs.stripe.com/api/pagination>).

use serde_json::{Value, json};

use super::errors::Refusal;
use super::form::Form;
use super::state::{Bounded, Call, Outcome, State};

/// One kind of object.
pub(super) trait Object: Sized {
    /// Stripe's name for the kind: `payment_intent`.
    const NAME: &'static str;

    fn all(state: &State) -> &Bounded<Self>;
    fn all_mut(state: &mut State) -> &mut Bounded<Self>;
    fn id(&self) -> &str;
    fn created_s(&self) -> i64;
    /// As it goes over the wire.
    fn show(&self) -> Value;
}

/// `GET …/{id}`.
pub(super) fn read<T: Object>(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&["client_secret"])?;
    shown::<T>(state, call.id)
}

/// The object with that id, as it goes over the wire.
pub(super) fn shown<T: Object>(state: &State, id: &str) -> Outcome {
    T::all(state)
        .get(id)
        .map(T::show)
        .ok_or_else(|| Refusal::missing(T::NAME))
}

/// The object with that id, to be changed.
pub(super) fn found<'a, T: Object>(state: &'a mut State, id: &str) -> Result<&'a mut T, Refusal> {
    T::all_mut(state)
        .get_mut(id)
        .ok_or_else(|| Refusal::missing(T::NAME))
}

/// Refuses parameters that a list with these filters does not know.
pub(super) fn only_filters(form: &Form, filters: &[&'static str]) -> Result<(), Refusal> {
    let paging = ["limit", "starting_after", "ending_before", "created"];
    let known: Vec<&str> = filters.iter().copied().chain(paging).collect();
    form.only(&known)
}

/// One page of the objects that `keep` keeps, newest first.
pub(super) fn page<T: Object>(
    state: &State,
    call: &Call<'_>,
    url: &str,
    keep: impl Fn(&T) -> bool,
) -> Outcome {
    let limit = call.limit()?;
    let period = Period::of(call.form)?;
    let cursor = |param: &'static str| match call.form.get(param) {
        Some(id) if T::all(state).get(id).is_none() => {
            Err(Refusal::missing_parameter(T::NAME, param))
        }
        id => Ok(id),
    };
    let (after, before) = (cursor("starting_after")?, cursor("ending_before")?);
    let kept = |item: &&T| keep(item) && period.holds(item.created_s());
    let newest = T::all(state).newest();
    let (data, has_more) = if let Some(before) = before {
        let mut newer: Vec<&T> = newest
            .take_while(|item| item.id() != before)
            .filter(kept)
            .collect();
        let beyond = newer.len().saturating_sub(limit);
        (newer.split_off(beyond), beyond > 0)
    } else {
        let mut rest = newest
            .skip_while(|item| after.is_some_and(|id| item.id() != id))
            .skip(usize::from(after.is_some()))
            .filter(kept);
        let data: Vec<&T> = rest.by_ref().take(limit).collect();
        (data, rest.next().is_some())
    };
    let data: Vec<Value> = data.into_iter().map(T::show).collect();
    Ok(json!({ "object": "list", "url": url, "has_more": has_more, "data": data }))
}

/// `created=…` or `created[gte]=…` and its neighbours, in seconds.
#[derive(Debug)]
struct Period {
    first: i64,
    last: i64,
}

impl Period {
    fn of(form: &Form) -> Result<Self, Refusal> {
        let exact = form.integer("created")?;
        let from = form.integer("created[gte]")?;
        let after = form.integer("created[gt]")?;
        let until = form.integer("created[lte]")?;
        let before = form.integer("created[lt]")?;
        let first = [exact, from, after.map(|s| s.saturating_add(1))];
        let last = [exact, until, before.map(|s| s.saturating_sub(1))];
        Ok(Self {
            first: first.into_iter().flatten().max().unwrap_or(i64::MIN),
            last: last.into_iter().flatten().min().unwrap_or(i64::MAX),
        })
    }

    const fn holds(&self, created_s: i64) -> bool {
        self.first <= created_s && created_s <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_the_narrowest_of_what_was_asked_for() {
        for (form, inside, outside) in [
            ("", vec![i64::MIN, 0, i64::MAX], vec![]),
            ("created=5", vec![5], vec![4, 6]),
            ("created[gte]=5&created[lt]=7", vec![5, 6], vec![4, 7]),
            ("created[gt]=5&created[lte]=7", vec![6, 7], vec![5, 8]),
        ] {
            let period = Period::of(&Form::parse(form.as_bytes()).unwrap()).unwrap();
            assert!(inside.iter().all(|s| period.holds(*s)), "{form}");
            assert!(!outside.iter().any(|s| period.holds(*s)), "{form}");
        }
        assert!(Period::of(&Form::parse(b"created[gt]=x").unwrap()).is_err());
    }
}
