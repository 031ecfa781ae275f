//! The same card vaulted again: the newest vaulting charges, and the one before is detached.

use super::*;

/// What was vaulted, and when.
struct Vaulted {
    id: TokenId,
    value: SealedValue,
}

/// Vaults the same card once more, under a name of its own at the processor.
async fn vault(store: &Store, reference: u8, seconds: u32) -> (TokenKept, Vaulted) {
    let mut vaulted = None;
    let kept = token_on(store, |token| {
        token.fingerprint = Some(mark(8));
        token.reference = mark(reference);
        token.created_at = START.plus_s(seconds);
        vaulted = Some(Vaulted {
            id: token.id,
            value: token.value.clone(),
        });
    })
    .await;
    (kept, vaulted.unwrap())
}

/// Vaults a card that is `token` already.
async fn vault_again(store: &Store, token: TokenId, reference: u8, seconds: u32) -> Vaulted {
    let (kept, vaulted) = vault(store, reference, seconds).await;
    assert!(matches!(kept, TokenKept::Same(row) if row.id == token));
    vaulted
}

async fn take_at(store: &Store, seconds: u32) -> Vec<OrphanWork> {
    store
        .take_due_orphans(due_at(seconds), |_| event(Action::CardDetachStarted))
        .await
        .unwrap()
}

fn of(works: &mut Vec<OrphanWork>, vaulted: &Vaulted) -> OrphanWork {
    let at = works.iter().position(|work| work.orphan.id == vaulted.id);
    works.remove(at.expect("it is due"))
}

/// Puts an orphan in its token's place, its value sealed anew.
async fn adopt(store: &Store, work: &OrphanWork, reference: u8) -> (Adopted, SealedValue) {
    let value = sealed_value();
    let token = work.orphan.adopt_for.expect("it is meant for a token");
    let placed = (token, mark(reference), value.clone());
    let done = (event(Action::TokenCardReplaced), START.plus_s(50));
    let adopted = store.adopt_orphan(work, placed, done, |_| news()).await;
    (adopted.unwrap(), value)
}

/// What a charge is made by now, and for which token that was sealed. The charge is settled.
async fn charged_by(store: &Store, token: TokenId) -> (Sealed, TokenId) {
    let begun = store
        .begin_charge(claim(&fresh("key")), charge_of(token), opening())
        .await;
    let Ok(Begun::New(work)) = begun else {
        panic!("{begun:?}");
    };
    let said = outcome(ChargeStatus::Succeeded);
    settle(store, Authority::Holder(&work.lease), work.charge.id, said)
        .await
        .unwrap();
    (work.sealed.sealed, work.sealed.sealed_for)
}

pub(super) async fn the_newest_vaulting_wins(store: &Store) {
    let (kept, first) = vault(store, 10, 0).await;
    let token = new(kept);
    let second = vault_again(store, token, 11, 1).await;
    assert_eq!(
        charged_by(store, token).await,
        (second.value.sealed.clone(), second.id),
        "it charges before it is adopted"
    );
    let third = vault_again(store, token, 12, 2).await;
    assert_eq!(
        charged_by(store, token).await,
        (third.value.sealed.clone(), third.id)
    );

    let mut due = take_at(store, 2).await;
    let (older, newer) = (of(&mut due, &second), of(&mut due, &third));
    assert!(due.is_empty());
    assert_eq!(adopt(store, &older, 11).await.0, Adopted::Gone);
    let open = charging_on(store, token, "open").await;
    assert_eq!(
        adopt(store, &newer, 12).await.0,
        Adopted::NotYet,
        "a charge is under way"
    );
    let said = outcome(ChargeStatus::Succeeded);
    settle(store, Authority::Observer, open.id, said)
        .await
        .unwrap();
    let (adopted, anew) = adopt(store, &newer, 12).await;
    assert_eq!(adopted, Adopted::Yes);
    assert_eq!(charged_by(store, token).await, (anew.sealed, token));
    let row = store.token(&account(), token).await.unwrap().unwrap();
    assert_eq!(
        (row.version, row.updated_at),
        (1, START),
        "nothing that is shown"
    );
    assert_eq!(adopt(store, &newer, 12).await.0, Adopted::Lost, "once");

    // What is left is detached: the card of the first time, and the one that was too late.
    let mut due = take_at(store, 100).await;
    let (late, before) = (of(&mut due, &second), of(&mut due, &third));
    assert!(due.is_empty());
    assert_eq!(
        (late.orphan.adopt_for, before.orphan.adopt_for),
        (None, None)
    );
    assert_eq!(late.orphan.sealed, second.value.sealed);
    assert_eq!(late.orphan.sealed_for, second.id);
    assert_eq!(before.orphan.sealed, first.value.sealed);
    assert_eq!(before.orphan.sealed_for, token);
    for work in [late, before] {
        let done = event(Action::CardDetached);
        store.orphan_detached(work.orphan.id, done).await.unwrap();
    }
    assert!(take_at(store, 90_000).await.is_empty());
}

pub(super) async fn an_adoption_releases_the_earlier_vaultings(store: &Store) {
    let (kept, _) = vault(store, 10, 0).await;
    let token = new(kept);
    let second = vault_again(store, token, 11, 1).await;
    let third = vault_again(store, token, 12, 2).await;
    let mut due = take_at(store, 2).await;
    let newer = of(&mut due, &third);
    assert_eq!(adopt(store, &newer, 12).await.0, Adopted::Yes);
    let older = of(&mut take_at(store, 100).await, &second);
    assert_eq!(older.orphan.adopt_for, None);
}

/// Two attempts under one key, of which each outlived the other's lease, vault one card twice.
pub(super) async fn a_card_in_use_is_not_detached(store: &Store) {
    let (kept, first) = vault(store, 10, 0).await;
    let token = new(kept);
    let second = vault_again(store, token, 11, 1).await;
    let same = vault_again(store, token, 11, 2).await;
    let older = of(&mut take_at(store, 2).await, &second);
    assert_eq!(adopt(store, &older, 11).await.0, Adopted::Gone);
    // While the other waits for its place, this one does not detach its card.
    let mut due = take_at(store, 70).await;
    let newer = of(&mut due, &same);
    assert!(due.is_empty(), "{due:?}");
    assert_eq!(adopt(store, &newer, 11).await.0, Adopted::Yes);

    // The card that the token had is detached, and never the one that it has.
    let third = vault_again(store, token, 12, 200).await;
    let again = vault_again(store, token, 12, 201).await;
    let newest = of(&mut take_at(store, 201).await, &again);
    assert_eq!(adopt(store, &newest, 12).await.0, Adopted::Yes);
    let mut due = take_at(store, 300).await;
    assert!(due.iter().all(|work| work.orphan.id != third.id), "{due:?}");
    let replaced = of(&mut due, &again);
    assert_eq!(replaced.orphan.sealed_for, token);
    let done = event(Action::CardDetached);
    store
        .orphan_detached(replaced.orphan.id, done)
        .await
        .unwrap();
    let before = of(&mut due, &same);
    assert_eq!(before.orphan.sealed, first.value.sealed);
    assert!(due.is_empty(), "{due:?}");
    let done = event(Action::CardDetached);
    store.orphan_detached(before.orphan.id, done).await.unwrap();
    assert!(take_at(store, 90_000).await.is_empty());
}

pub(super) async fn a_token_that_is_deleted_adopts_nothing(store: &Store) {
    let (kept, _) = vault(store, 10, 0).await;
    let token = new(kept);
    let second = vault_again(store, token, 11, 1).await;
    let work = of(&mut take_at(store, 1).await, &second);
    let whose = account();
    let started = event(Action::TokenDeletionStarted);
    let lease = (START, START.plus_s(60));
    let begun = store.begin_deletion((&whose, token), lease, started).await;
    assert!(matches!(begun, Ok(Begun::New(_))), "{begun:?}");
    assert_eq!(adopt(store, &work, 11).await.0, Adopted::Gone);
    let done = event(Action::TokenDeleted);
    store
        .finish_deletion((&whose, token), START, done, |_| news())
        .await
        .unwrap();
    let left = of(&mut take_at(store, 100).await, &second);
    assert_eq!(left.orphan.adopt_for, None, "it is detached as well");
}

pub(super) async fn a_card_that_was_detached_at_the_processor_is_a_new_token(store: &Store) {
    let (kept, _) = vault(store, 10, 0).await;
    let token = new(kept);
    let whose = account();
    let mark_detached = async |token| {
        let done = (event(Action::TokenDetached), START.plus_s(9));
        store
            .mark_token_detached((&whose, token), done, |_| news())
            .await
            .unwrap()
    };
    // While a newer vaulting waits for its place, that is what is charged.
    let second = vault_again(store, token, 11, 1).await;
    assert!(!mark_detached(token).await);
    let work = of(&mut take_at(store, 1).await, &second);
    assert_eq!(adopt(store, &work, 11).await.0, Adopted::Yes);

    assert!(mark_detached(token).await);
    assert!(!mark_detached(token).await, "once");
    let row = store.token(&whose, token).await.unwrap().unwrap();
    assert_eq!(row.detached_at, Some(START.plus_s(9)));
    let (kept, _) = vault(store, 12, 10).await;
    let fresh = new(kept);
    assert_ne!(fresh, token);
    vault_again(store, fresh, 13, 11).await;
}

#[tokio::test]
async fn of_a_card_that_is_vaulted_again_the_newest_vaulting_charges() {
    the_newest_vaulting_wins(&Bench::new().await.store).await;
    an_adoption_releases_the_earlier_vaultings(&Bench::new().await.store).await;
}

#[tokio::test]
async fn a_card_that_a_token_has_or_will_have_is_not_detached() {
    a_card_in_use_is_not_detached(&Bench::new().await.store).await;
}

#[tokio::test]
async fn a_detached_token_is_in_use_again_once_a_newer_vaulting_has_its_place() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let (kept, _) = vault(store, 10, 0).await;
    let token = new(kept);
    let second = vault_again(store, token, 11, 1).await;
    let detached = "UPDATE tokens SET detached_at_ms = 1, version = version + 1";
    bench.run(detached).await.unwrap();
    let work = of(&mut take_at(store, 1).await, &second);
    assert_eq!(adopt(store, &work, 11).await.0, Adopted::Yes);
    let row = store.token(&account(), token).await.unwrap().unwrap();
    assert_eq!((row.detached_at, row.version), (None, 3));
    assert_eq!(row.updated_at, START.plus_s(50));
    assert_eq!(store.number_news(Vec::new(), 10, START).await, Ok(2));
}

#[tokio::test]
async fn what_is_not_to_be_charged_any_more_adopts_nothing() {
    a_token_that_is_deleted_adopts_nothing(&Bench::new().await.store).await;
    a_card_that_was_detached_at_the_processor_is_a_new_token(&Bench::new().await.store).await;
}
