//! Whether what is looked for was ever there: a letter missing in a client's name must not read as
//! "nobody was touched".

use super::scope::{Candidate, Criteria};
use crate::audit::leaf::Line;

/// What of the criteria neither the log nor a token has shown yet.
#[derive(Debug)]
pub struct Unseen {
    client: Option<String>,
    node: Option<String>,
    key: Option<String>,
    range: Option<(String, String)>,
}

impl Unseen {
    /// Everything that those criteria name.
    #[must_use]
    pub fn of(criteria: &Criteria) -> Self {
        let (from, to) = (criteria.token_from.clone(), criteria.token_to.clone());
        Self {
            client: criteria.client.clone(),
            node: criteria.node.clone(),
            key: criteria.key.clone(),
            range: from.zip(to),
        }
    }

    /// The next verified event, of whatever time and outcome.
    pub fn event(&mut self, line: &Line<'_>) {
        let actor = (line.actor_kind == "client").then_some(line.actor.as_deref());
        self.client.take_if(|client| actor == Some(Some(client)));
        self.node.take_if(|node| line.node == **node);
        if let Some(subject) = line.subject.as_deref() {
            self.key.take_if(|key| key == subject);
            self.token(subject);
        }
    }

    /// The next token.
    pub fn candidate(&mut self, candidate: &Candidate<'_>) {
        self.key
            .take_if(|key| candidate.keys.contains(&key.as_str()));
        self.token(candidate.token);
    }

    fn token(&mut self, token: &str) {
        let holds = |(from, to): &mut (String, String)| (from.as_str()..=to).contains(&token);
        self.range.take_if(holds);
    }

    /// Whether tokens have to be looked through, because the log alone did not show everything.
    #[must_use]
    pub const fn wants_tokens(&self) -> bool {
        self.key.is_some() || self.range.is_some()
    }

    /// What was never seen, by the option that named it.
    #[must_use]
    pub fn named(&self) -> Option<(&'static str, String)> {
        let option = |name, value: &Option<String>| value.clone().map(|value| (name, value));
        let range = self
            .range
            .as_ref()
            .map(|(from, to)| format!("{from}..{to}"));
        option("--client", &self.client)
            .or_else(|| option("--node", &self.node))
            .or_else(|| option("--key", &self.key))
            .or_else(|| option("--token-range", &range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::audit::leaf::Columns;
    use crate::clock::Timestamp;

    fn line(actor: (&'static str, &'static str), subject: &'static str) -> Line<'static> {
        let columns = Columns {
            at_ms: 1,
            actor: (actor.0.into(), Some(actor.1.into())),
            act: ("token.opened".into(), "refused".into()),
            data: (Some("shop".into()), Some(subject.into())),
            place: ("-".into(), "pay-1".into(), None),
            writer: Some("internal".into()),
        };
        Line::of_columns("evt_1".to_owned(), columns)
    }

    fn criteria(of: (&str, &str)) -> Criteria {
        let named = |name: &str| (of.0 == name).then(|| of.1.to_owned());
        Criteria {
            client: named("--client"),
            node: named("--node"),
            key: named("--key"),
            token_from: named("--token-range"),
            token_to: named("--token-range"),
            ..Criteria::default()
        }
    }

    #[test]
    fn what_the_log_or_a_token_shows_is_seen_and_a_slip_is_not() {
        let candidate = Candidate {
            token: "tok_9",
            account: "shop",
            customer: None,
            session: None,
            keys: ["dek_1", "kek_1"],
            created_at: Timestamp::from_unix_ms(1),
        };
        for (option, there, slip) in [
            ("--client", "billing", "biling"),
            ("--client", "billing", "7"),
            ("--node", "pay-1", "pay-2"),
            ("--key", "dek_1", "dek_2"),
            ("--key", "kek_7", "kek_2"),
            ("--token-range", "tok_1", "tok_2"),
            ("--token-range", "tok_9", "tok_8"),
        ] {
            for (value, is_seen) in [(there, true), (slip, false)] {
                let mut unseen = Unseen::of(&criteria((option, value)));
                assert_eq!(unseen.named(), Some((option, value_of(option, value))));
                unseen.event(&line(("client", "billing"), "tok_1"));
                unseen.event(&line(("operator", "7"), "kek_7"));
                if unseen.wants_tokens() {
                    unseen.candidate(&candidate);
                }
                assert_eq!(unseen.named().is_none(), is_seen, "{option} {value}");
            }
        }
    }

    fn value_of(option: &str, value: &str) -> String {
        match option {
            "--token-range" => format!("{value}..{value}"),
            _ => value.to_owned(),
        }
    }
}
