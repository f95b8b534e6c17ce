//! Consent: a read in a partition that stands on consent races its withdrawal. What was executed before it is given, and nothing after it; whichever
//! member's node heard of it first.

use super::{
    MEMBERS, executed, hand_in,
    sealed::{read_of, subject, write_of},
    sign,
};
use crate::{client::Client, members::Member};
use futures::join;
use std::time::Duration;
use tallystick_node::parcels::{Executed, PrivateError};
use tallystick_protocol::{Code, ConsentTerms, Operation, Outcome};

/// Whose value is read, and the name of the consent.
const KEY: &str = "s-consenting";
/// Reads that race the withdrawal.
const READS: usize = 6;
/// Between two of them.
const BETWEEN: Duration = Duration::from_millis(100);

/// A read: which private transaction it was, and why it was refused.
type Read = (u64, Option<Code>);

pub(super) async fn consent(client: &mut Client, reader: &Member) -> Option<()> {
    write_of(client, reader, KEY).await?;
    refused(client, reader, "before there was a consent").await?;
    executed(client, MEMBERS[0], reader, give(client, KEY, "Safe passage"), None).await?;
    let given = read(client, reader).await?;
    if given.1.is_some() {
        client.complain(format!("a read that a consent covers came to {given:?}"));
        return None;
    }
    let withdrawn = race(client, reader).await?;
    refused(client, reader, "after it was withdrawn").await?;
    // One that is given for something else covers nothing, and the name of one that was withdrawn is not given again.
    executed(client, MEMBERS[0], reader, give(client, KEY, "Safe passage"), Some(Code::ConsentExists)).await?;
    executed(client, MEMBERS[0], reader, give(client, "s-other", "Statistics"), None).await?;
    refused(client, reader, "for something else").await?;
    client.record.note(format!("1 consent of a partition was withdrawn as number {withdrawn}"));
    Some(())
}

fn give(client: &Client, consent: &str, purpose: &str) -> Operation {
    Operation::ConsentGive {
        consent: consent.to_owned(),
        controller: client.administrator(MEMBERS[0]).id.organisation().to_owned(),
        subject: subject(KEY),
        terms: ConsentTerms { purposes: vec![purpose.to_owned()], recipients: Vec::new(), until_ms: u64::MAX / 2 },
        evidence: "Form 7".to_owned(),
    }
}

/// Reads go on while the consent is withdrawn: none with a number after that is given anything. Says that number.
async fn race(client: &mut Client, reader: &Member) -> Option<u64> {
    let mut beside = client.fork(70);
    let reads = async move {
        let mut all = Vec::new();
        for _ in 0..READS {
            all.push(read(&mut beside, reader).await?);
            beside.wait(BETWEEN).await;
        }
        Some(all)
    };
    let withdraw = async {
        let pause = Duration::from_millis(client.chance.between(0, 400));
        client.wait(pause).await;
        let withdraw = Operation::ConsentWithdraw { consent: KEY.to_owned(), reason: "Asked to".to_owned() };
        let transaction = sign(client, reader, withdraw);
        loop {
            match hand_in(client, MEMBERS[0], &transaction).await {
                Some(Ok(Executed { outcome: Outcome::Accepted { .. }, number, .. })) => return Some(number),
                Some(Err(PrivateError::Repeated { number, refused: None, .. })) => return Some(number),
                Some(Ok(done)) => {
                    client.complain(format!("a consent was not withdrawn: {done:?}"));
                    return None;
                }
                Some(Err(_)) | None => client.pause().await?,
            }
        }
    };
    let (withdrawn, reads) = join!(withdraw, reads);
    let (withdrawn, reads) = (withdrawn?, reads?);
    for (number, refused) in &reads {
        let expected = (*number > withdrawn).then_some(Code::ConsentRequired);
        if *refused != expected {
            client.complain(format!(
                "a consent was withdrawn as number {withdrawn}, and read {number} came to {refused:?}"
            ));
            return None;
        }
    }
    let late = reads.iter().filter(|(number, _)| *number > withdrawn).count();
    client.record.note(format!("{late} reads came after the withdrawal"));
    Some(withdrawn)
}

async fn refused(client: &mut Client, reader: &Member, when: &str) -> Option<()> {
    match read(client, reader).await? {
        (_, Some(Code::ConsentRequired)) => Some(()),
        other => {
            client.complain(format!("a read by consent {when} came to {other:?}"));
            None
        }
    }
}

/// Reads by consent, until it is known what became of that. What is refused gives nothing, and what is not gives the record.
async fn read(client: &mut Client, reader: &Member) -> Option<Read> {
    let node = client.members.holder(MEMBERS[0])?.principal;
    let mut operation = read_of(KEY, &node);
    if let Operation::RecordRead { legal_basis, .. } = &mut operation {
        *legal_basis = "consent: form 7".to_owned();
    }
    let transaction = sign(client, reader, operation);
    loop {
        match hand_in(client, MEMBERS[0], &transaction).await {
            Some(Ok(Executed { number, outcome, given, .. })) => {
                let code = match &outcome {
                    Outcome::Accepted { .. } => None,
                    Outcome::Refused(refusal) => Some(refusal.code),
                };
                if given.is_empty() != code.is_some() {
                    client.complain(format!("a read by consent came to {code:?}, and gave {} records", given.len()));
                    return None;
                }
                return Some((number, code));
            }
            Some(Err(PrivateError::ReadRepeated { number, refused, .. })) => return Some((number, refused)),
            Some(Err(error)) => client.record.note(format!("node {}: {error}", MEMBERS[0])),
            None => {}
        }
        client.pause().await?;
    }
}
