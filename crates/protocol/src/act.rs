//! Acts: by whom an ordered transaction was done, and for whom, once its decision is known.

use crate::{identifier::MandateId, operation::PrincipalId, outcome::Decision, transaction::SignedTransaction};

impl SignedTransaction {
    /// The mandates under which it acts, from the one that it names to the root: those that its decision lists, or, where that
    /// one did not hold, it alone.
    pub fn chain<'a>(&'a self, decision: &'a Decision) -> &'a [MandateId] {
        match self.mandate() {
            Some(mandate) if decision.mandates.is_empty() => std::slice::from_ref(mandate),
            _ => &decision.mandates,
        }
    }

    /// Whose act it is: under mandates that of the grantor at the root, else the signer's.
    pub fn actor(&self, decision: &Decision) -> PrincipalId {
        self.chain(decision).last().map_or_else(|| self.principal().clone(), MandateId::grantor)
    }

    /// Everybody who did it and everybody for whom it was done: the signer, the co-signers, the grantors of the mandates.
    pub fn parties(&self, decision: &Decision) -> Vec<PrincipalId> {
        let signers = self.signers().map(|(principal, _)| principal.clone());
        signers.chain(self.chain(decision).iter().map(MandateId::grantor)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::{Decision, Intent, MandateId, NetworkId, Operation, PublicKey};

    #[test]
    fn an_act_under_mandates_is_that_of_the_grantor_at_the_root() {
        let id = |text: &str| text.parse::<MandateId>().unwrap();
        let (named, root) = (id("hmrc/bob/filing"), id("treasury/minister/taxes"));
        let operation = Operation::MandateRevoke { mandate: id("hmrc/alice/other") };
        let intent = Intent {
            not_after: 1_700_000_000,
            idempotency_key: vec![1; 8],
            mandate: Some(named.clone()),
            ..Intent::new(NetworkId([7; 16]), "hmrc/alice".parse().unwrap(), "test", vec![operation])
        };
        let transaction = intent.with_signature(&PublicKey::Ed25519([1; 32]), &[0; 64]).unwrap();
        let (none, held) =
            (Decision::default(), Decision { mandates: vec![named.clone(), root.clone()], ..Decision::default() });
        let parties = |decision| transaction.parties(decision).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(transaction.chain(&held), [named.clone(), root]);
        assert_eq!(transaction.actor(&held).as_str(), "treasury/minister");
        assert_eq!(parties(&held), ["hmrc/alice", "hmrc/bob", "treasury/minister"]);
        // A mandate that did not hold: the decision lists none, and the attempt was in its name all the same.
        assert_eq!(transaction.chain(&none), [named]);
        assert_eq!((transaction.actor(&none).as_str(), parties(&none).len()), ("hmrc/bob", 2));
    }
}
