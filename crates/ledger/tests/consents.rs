//! Consents: who puts them on record, what they cover, and that nothing stands on one that has ended.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod harness;

use harness::{Ledger, describe, operation, warm_view};
use tallystick_ledger::{Missing, PageRow, apply, wanted, wanted_next};
use tallystick_protocol::{
    ConsentRow, ConsentStatus, StateKey, Subject, SubjectConsentsRow, limits::SUBJECT_CONSENTS_MAX,
};

/// Alpha with a register of people, of which beta may read for research too.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        time 2020-01-01T00:00:00Z
        alpha/admin | create person person name!personal:person | ok
        alpha/clerk | append person 1 {"person":"1"} | ok person user 1+1
        alpha/clerk | append person 2 {"person":"2"} | ok person user 2+1
        alpha/admin | policy person put person/guests permit (principal in Organisation::"beta", action == Action::"record-read", resource == Register::"person") | ok
        "#,
    );
    ledger
}

fn consent(ledger: &Ledger, id: &str) -> ConsentRow {
    ConsentRow::decode(&ledger.rows[&StateKey::consent(id)]).unwrap()
}

fn consents(ledger: &Ledger, subject: &str) -> SubjectConsentsRow {
    let subject: Subject = subject.parse().unwrap();
    SubjectConsentsRow::decode(&ledger.rows[&StateKey::subject_consents("alpha", &subject)]).unwrap()
}

#[test]
fn a_read_by_consent_needs_one_that_covers_it_of_everybody_it_is_about() {
    ledger().run(
        r#"
        # Who reads by another power needs none.
        alpha/clerk | read-by law person 1 person:1 name research                    | ok
        alpha/clerk | read-by consent person 1 person:1 name research                | 0 consent-required
        alpha/clerk | read-by consented person 1 person:1 name research              | ok
        # However the word is written.
        alpha/clerk | read-by Consent person 1 person:1 name research                | 0 consent-required
        alpha/clerk | read-by _CONSENT_:_form_7 person 1 person:1 name research      | 0 consent-required
        alpha/clerk | consent c1 alpha person:1 research beta 2020-06-01T00:00:00Z   | ok
        alpha/clerk | read-by consent person 1 person:1 name research                | ok
        alpha/clerk | read-by consent:_form_7 person 1 person:1 name research:_trial_9 | ok
        beta/clerk  | read-by consent person 1 person:1 name research                | ok
        # Another purpose, another recipient, somebody else, and one of two.
        alpha/clerk | read-by consent person 1 person:1 name billing                 | 0 consent-required
        alpha/clerk | read-by consent person 1 person:1 name research gamma          | 0 consent-required
        alpha/clerk | read-by consent person 1 person:1 name research beta           | ok
        alpha/clerk | read-by consent person 2 person:2 name research                | 0 consent-required
        alpha/clerk | read-by consent person 1 person:1,person:2 name research       | 0 consent-required
        alpha/clerk | consent c2 alpha person:2 research - 2020-06-01T00:00:00Z      | ok
        alpha/clerk | read-by consent person 1 person:1,person:2 name research       | ok
        # That one does not speak of beta.
        beta/clerk  | read-by consent person 1 person:1,person:2 name research       | 0 consent-required
        # Who may not read at all is told nothing of consent, whether there is one or not.
        gamma/admin | read-by consent person 1 person:1 name billing                 | 0 not-permitted
        gamma/admin | read-by consent person 1 person:1 name research                | 0 not-permitted
        # It is given to a controller; another's counts for nothing.
        beta/admin  | consent c3 beta person:1 billing - 2020-06-01T00:00:00Z        | ok
        alpha/clerk | read-by consent person 1 person:1 name billing                 | 0 consent-required
        "#,
    );
}

#[test]
fn nothing_stands_on_a_consent_that_has_ended() {
    let mut ledger = ledger();
    ledger.run(
        r#"
        alpha/clerk | consent c1 alpha person:1 research - 2020-06-01T00:00:00Z      | ok
        alpha/clerk | read-by consent person 1 person:1 name research                | ok
        # From the next transaction on, and the next operation; what is refused as a whole has not been withdrawn.
        alpha/clerk | unconsent c1; read-by consent person 1 person:1 name research  | 1 consent-required
        alpha/clerk | read-by consent person 1 person:1 name research                | ok
        alpha/clerk | unconsent c1                                                   | ok
        alpha/clerk | read-by consent person 1 person:1 name research                | 0 consent-required
        alpha/clerk | unconsent c1                                                   | 0 consent-ended
        alpha/clerk | consent c1 alpha person:1 research - 2020-06-01T00:00:00Z      | 0 consent-exists
        alpha/clerk | consent c2 alpha person:1 research - 2020-06-01T00:00:00Z      | ok
        time 2020-05-31T23:59:59Z
        alpha/clerk | read-by consent person 1 person:1 name research                | ok
        time 2020-06-01T00:00:00Z
        alpha/clerk | read-by consent person 1 person:1 name research                | 0 consent-required
        alpha/clerk | unconsent c2                                                   | 0 consent-ended
        alpha/clerk | consent c3 alpha person:1 research - 2020-06-01T00:00:00Z      | 0 consent-end
        "#,
    );
    let (first, second) = (consent(&ledger, "c1"), consent(&ledger, "c2"));
    assert_eq!(first.status(ledger.time_ms), ConsentStatus::Withdrawn);
    assert_eq!(first.withdrawn.unwrap().principal.as_str(), "alpha/clerk");
    assert_eq!((second.status(0), second.status(ledger.time_ms)), (ConsentStatus::InForce, ConsentStatus::Over));
}

/// Two transactions of one block, in one view that remembers what was decided.
#[test]
fn a_withdrawal_counts_from_the_next_transaction_of_the_same_block() {
    let mut ledger = ledger();
    ledger.run("alpha/clerk | consent c1 alpha person:1 research - 2020-06-01T00:00:00Z | ok");
    let mut view = warm_view();
    let told: Vec<String> = ["read-by consent person 1 person:1 name research", "unconsent c1"]
        .iter()
        .cycle()
        .take(3)
        .map(|text| {
            let transaction = ledger.sign("alpha/clerk", vec![operation(text)]);
            let outcome = ledger.apply_in(&mut view, &transaction, ledger.leaf);
            ledger.leaf += 1;
            describe(&outcome)
        })
        .collect();
    assert_eq!(told, ["ok", "ok", "0 consent-required"]);
}

#[test]
fn only_who_may_puts_a_consent_on_record() {
    ledger().run(
        r#"
        beta/clerk  | consent c1 alpha person:1 research - 2020-06-01T00:00:00Z      | 0 not-permitted
        beta/admin  | consent c1 alpha person:1 research - 2020-06-01T00:00:00Z      | 0 not-permitted
        alpha/admin | consent c1 nowhere person:1 research - 2020-06-01T00:00:00Z    | 0 not-permitted
        alpha/admin | unconsent c1                                                   | 0 consent-unknown
        # A policy may let one principal speak for one subject, and for nobody else.
        alpha/admin | enrol asha auditor alpha/asha                                  | ok
        alpha/admin | policy person put person/asha permit (principal == Principal::"alpha/asha", action in [Action::"consent-give", Action::"consent-withdraw"], resource == Register::"person") when { context has subject && context.subject == "person:1" } | ok
        alpha/asha  | consent c1 alpha person:1 research - 2020-06-01T00:00:00Z      | ok
        alpha/asha  | consent c2 alpha person:2 research - 2020-06-01T00:00:00Z      | 0 not-permitted
        alpha/clerk | consent c2 alpha person:2 research - 2020-06-01T00:00:00Z      | ok
        alpha/asha  | unconsent c2                                                   | 0 not-permitted
        beta/admin  | unconsent c2                                                   | 0 not-permitted
        alpha/asha  | unconsent c1                                                   | ok
        "#,
    );
}

/// Who may put consents to somebody on record may withdraw them: a mandate names the same for both.
#[test]
fn an_agent_withdraws_what_it_may_put_on_record() {
    let mut ledger = ledger();
    ledger.run(
        r#"
        alpha/clerk | grant ours beta/clerk consent-give,consent-withdraw organisation:alpha 2019-01-01 2030-01-01 0 1  | ok
        alpha/clerk | grant theirs beta/clerk consent-give,consent-withdraw organisation:beta 2019-01-01 2030-01-01 0 1 | ok
        beta/clerk under alpha/clerk/theirs | consent c1 alpha person:1 research - 2020-06-01T00:00:00Z | 0 mandate-exceeded
        beta/clerk under alpha/clerk/ours   | consent c1 alpha person:1 research - 2020-06-01T00:00:00Z | ok
        beta/clerk under alpha/clerk/theirs | unconsent c1                                              | 0 mandate-exceeded
        beta/clerk under alpha/clerk/ours   | unconsent c1                                              | ok
        beta/admin  | consent c2 beta person:1 billing - 2020-06-01T00:00:00Z                           | ok
        # What is another's to put on record is another's to withdraw, by the mandate's words already.
        beta/clerk under alpha/clerk/ours   | consent c3 beta person:1 billing - 2020-06-01T00:00:00Z   | 0 mandate-exceeded
        beta/clerk under alpha/clerk/ours   | unconsent c2                                              | 0 mandate-exceeded
        beta/clerk under alpha/clerk/theirs | unconsent c2                                              | 0 not-permitted
        beta/clerk under alpha/clerk/ours   | unconsent none                                            | 0 consent-unknown
        "#,
    );
}

#[test]
fn a_subject_has_so_many_in_force_and_any_number_over() {
    let mut ledger = ledger();
    for number in 0..SUBJECT_CONSENTS_MAX {
        ledger.run(&format!("alpha/clerk | consent c{number} alpha person:1 care - 2020-02-01T00:00:00Z | ok"));
    }
    ledger.run(
        r#"
        alpha/clerk | consent more alpha person:1 care - 2020-03-01T00:00:00Z        | 0 consents-full
        alpha/clerk | unconsent c3                                                   | ok
        alpha/clerk | consent more alpha person:1 care - 2020-03-01T00:00:00Z        | ok
        alpha/clerk | consent again alpha person:1 care - 2020-03-01T00:00:00Z       | 0 consents-full
        time 2020-02-01T00:00:00Z
        alpha/clerk | consent again alpha person:1 care - 2020-03-01T00:00:00Z       | ok
        "#,
    );
    let row = consents(&ledger, "person:1");
    assert_eq!(row.in_force.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["more", "again"]);
    let page = StateKey::consents("alpha", &"person:1".parse().unwrap(), 0);
    let listed = PageRow::decode(&ledger.rows[&page]).unwrap().ids;
    assert_eq!((row.given, listed.len()), (SUBJECT_CONSENTS_MAX as u64 + 2, SUBJECT_CONSENTS_MAX + 2));
}

#[test]
fn who_is_erased_consents_to_nothing_more() {
    ledger().run(
        r#"
        alpha/admin | enrol-as device node-1 auditor alpha/node-1                    | ok
        alpha/admin | node alpha/node-1 a1 11 GB                                     | ok
        alpha/clerk | consent c1 alpha person:1 care - 2020-06-01T00:00:00Z          | ok
        alpha/admin | erase a alpha person:1 all                                     | ok
        alpha/clerk | consent c2 alpha person:1 care - 2020-06-01T00:00:00Z          | 0 subject-erased
        alpha/clerk | read-by consent person 1 person:1 name care                    | 0 value-erased
        alpha/clerk | unconsent c1                                                   | ok
        "#,
    );
}

/// All rows are fetched before the block is applied: nothing is asked for a second time.
#[test]
fn what_a_read_by_consent_asks_is_known_beforehand() {
    let mut ledger = ledger();
    ledger.run("alpha/clerk | consent c1 alpha person:1 research - 2020-06-01T00:00:00Z | ok");
    let read = operation("read-by consent person 1 person:1,person:2 name research");
    let transaction = ledger.sign("alpha/clerk", vec![read]);
    let mut view = warm_view();
    ledger.fetch(&mut view, wanted(&transaction));
    let next = wanted_next(&mut view, &transaction);
    assert_eq!(next.iter().filter(|key| key.0[0] == 39).count(), 2);
    ledger.fetch(&mut view, next);
    let outcome = apply(&mut view, &ledger.context(), &transaction, ledger.leaf);
    assert!(!matches!(outcome, Err(Missing(_))));
}
