//! `/v1/payment_intents/search`: how a caller finds what it lost sight of.
//!
//! Of Stripe's query language: clauses `metadata['key']:'value'`, `customer:'…'`, `status:'…'`,
//! joined by `AND`. Stripe's index lags behind; the switch `search_lag_ms` does the same here.

use serde_json::{Value, json};

use super::errors::Refusal;
use super::objects::Object as _;
use super::records::PaymentIntent;
use super::state::{Call, Outcome, State};

const CLAUSES_MAX: usize = 10;

#[derive(Debug, PartialEq, Eq)]
enum Clause<'a> {
    Metadata(&'a str, &'a str),
    Customer(&'a str),
    Status(&'a str),
}

pub(super) fn payment_intents(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&["query", "limit", "page"])?;
    let clauses = parse(call.form.required("query")?).ok_or_else(|| {
        Refusal::invalid("We were unable to parse your search query.").param("query")
    })?;
    let limit = call.limit()?;
    let lag_ms = state.switches.search_lag_ms;
    let mut hits = state.payment_intents.newest().filter(|intent| {
        call.now.ms_since(intent.created) >= lag_ms && clauses.iter().all(|c| c.matches(intent))
    });
    let data: Vec<Value> = hits.by_ref().take(limit).map(PaymentIntent::show).collect();
    let has_more = hits.next().is_some();
    Ok(json!({
        "object": "search_result",
        "url": "/v1/payment_intents/search",
        "has_more": has_more,
        "next_page": null,
        "data": data,
    }))
}

impl Clause<'_> {
    fn matches(&self, intent: &PaymentIntent) -> bool {
        match self {
            Self::Metadata(key, value) => {
                intent.core.metadata.get(*key).and_then(Value::as_str) == Some(value)
            }
            Self::Customer(id) => intent.core.customer.as_deref() == Some(id),
            Self::Status(status) => intent.core.status == *status,
        }
    }
}

fn parse(query: &str) -> Option<Vec<Clause<'_>>> {
    let mut clauses = Vec::new();
    let mut rest = query.trim();
    while !rest.is_empty() {
        let (clause, left) = parse_clause(rest)?;
        clauses.push(clause);
        rest = left.trim_start();
        if let Some(next) = rest.strip_prefix("AND ") {
            rest = next.trim_start();
        } else if !rest.is_empty() {
            return None;
        }
    }
    (1..=CLAUSES_MAX)
        .contains(&clauses.len())
        .then_some(clauses)
}

fn parse_clause(text: &str) -> Option<(Clause<'_>, &str)> {
    if let Some(rest) = text.strip_prefix("metadata[") {
        let (key, rest) = quoted(rest)?;
        let (value, rest) = quoted(rest.strip_prefix("]:")?)?;
        return Some((Clause::Metadata(key, value), rest));
    }
    if let Some(rest) = text.strip_prefix("customer:") {
        let (value, rest) = quoted(rest)?;
        return Some((Clause::Customer(value), rest));
    }
    let (value, rest) = quoted(text.strip_prefix("status:")?)?;
    Some((Clause::Status(value), rest))
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    ['\'', '"'].into_iter().find_map(|mark| {
        let inner = text.strip_prefix(mark)?;
        inner.split_once(mark)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_read_and_anything_else_is_not() {
        assert_eq!(
            parse("metadata['a b']:'c' AND status:\"succeeded\""),
            Some(vec![
                Clause::Metadata("a b", "c"),
                Clause::Status("succeeded")
            ])
        );
        assert_eq!(parse("customer:'x'"), Some(vec![Clause::Customer("x")]));
        for query in [
            "",
            "amount>3",
            "metadata['a':'b'",
            "status:'x' OR status:'y'",
        ] {
            assert_eq!(parse(query), None, "{query}");
        }
    }
}
