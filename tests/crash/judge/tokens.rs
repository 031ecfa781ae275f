//! Sessions, tokens and cards.

use std::collections::BTreeSet;

use super::{Finding, one_of_key};
use crate::evidence::Evidence;

pub(super) fn judge(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let journal = &evidence.journal;
    let deleted = |status: &String| status == "deleted" || status == "deleting";
    let there = evidence
        .tokens
        .iter()
        .filter(|(_, status)| !deleted(status));
    let there: BTreeSet<&str> = there.map(|(id, _)| id.as_str()).collect();
    for token in journal.kept_tokens() {
        if !there.contains(token) {
            findings.push(Finding::Lost(token.to_owned()));
        }
    }
    for (token, answered) in &journal.deletions {
        if *answered && there.contains(token.as_str()) {
            findings.push(Finding::Lost(format!("the deletion of {token}")));
        }
    }
    for (key, made) in journal.tokens.iter().chain(&journal.sessions) {
        one_of_key(key, made.iter().map(String::as_str), findings);
    }
    if there.len() > evidence.cards_attached {
        let lost = there.len() - evidence.cards_attached;
        findings.push(Finding::Lost(format!("the cards of {lost} tokens")));
    }
    // A card whose client never came back between the processor's answer and the store's commit
    // is known to nobody but the processor: see README.md.
    let orphaned = evidence.cards_attached.saturating_sub(there.len());
    if orphaned > journal.forsaken_cards {
        findings.push(Finding::OrphanedCards(orphaned));
    }
}
