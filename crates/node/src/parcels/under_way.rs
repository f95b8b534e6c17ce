//! Private transactions that are under way: who hands one in once more waits with who did first, and is told the same. It is ordered once.

use super::{Answer, error::PrivateError, order::Executed};
use futures::{
    FutureExt as _,
    future::{Shared, WeakShared},
};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tallystick_protocol::Hash;
use tokio::sync::oneshot;

type Told = oneshot::Receiver<Result<Executed, PrivateError>>;

/// What somebody waits for, by transactions.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<HashMap<Hash, WeakShared<Told>>>);

/// Somebody's wait.
pub(super) struct Wait<'a> {
    all: &'a UnderWay,
    id: Hash,
    told: Option<Shared<Told>>,
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, WeakShared<Told>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a transaction, with those who do; where nobody does, it is handed in.
    ///
    /// # Errors
    /// When it cannot be handed in.
    pub fn wait(
        &self,
        id: Hash,
        hand_in: impl FnOnce(Answer) -> Result<(), PrivateError>,
    ) -> Result<Wait<'_>, PrivateError> {
        let mut all = self.lock();
        let told = match all.get(&id).and_then(WeakShared::upgrade) {
            Some(told) => told,
            None => {
                let (answer, told) = oneshot::channel();
                hand_in(answer)?;
                let told = told.shared();
                all.extend(told.downgrade().map(|weak| (id, weak)));
                told
            }
        };
        Ok(Wait { all: self, id, told: Some(told) })
    }
}

impl Wait<'_> {
    /// What became of it.
    ///
    /// # Errors
    /// When it was not executed, or the node stops.
    pub async fn told(&mut self) -> Result<Executed, PrivateError> {
        let stopping = || PrivateError::Failed("the node is stopping".to_owned());
        match &mut self.told {
            Some(told) => told.await.unwrap_or_else(|_| Err(stopping())),
            None => Err(stopping()),
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        // Before the look: whoever is the last finds that nobody is left.
        self.told = None;
        let mut all = self.all.lock();
        if all.get(&self.id).is_some_and(|told| told.upgrade().is_none()) {
            all.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_protocol::{Decision, Outcome};

    fn executed() -> Executed {
        let (transaction, outcome) =
            (Hash([1; 32]), Outcome::Accepted { appended: Vec::new(), decision: Decision::default() });
        Executed { transaction, height: 7, number: 3, outcome, given: Vec::new(), waiting: None }
    }

    fn take(answers: &mut Vec<Answer>, answer: Answer) -> Result<(), PrivateError> {
        answers.push(answer);
        Ok(())
    }

    #[test]
    fn one_that_is_handed_in_twice_is_ordered_once_and_told_to_both() {
        let (all, id, mut answers) = (UnderWay::default(), Hash([1; 32]), Vec::new());
        let mut first = all.wait(id, |answer| take(&mut answers, answer)).unwrap();
        let mut second = all.wait(id, |_| unreachable!("it is under way")).unwrap();
        let gone = all.wait(id, |_| unreachable!("it is under way")).unwrap();
        drop(gone);
        assert_eq!(first.told().now_or_never(), None);
        let other = all.wait(Hash([2; 32]), |_| Err(PrivateError::Busy));
        assert_eq!(other.err(), Some(PrivateError::Busy));
        let answer = answers.pop().unwrap();
        assert!(!answer.is_closed() && all.lock().len() == 1);
        answer.send(Ok(executed())).unwrap();
        assert_eq!(first.told().now_or_never(), Some(Ok(executed())));
        drop(first);
        assert_eq!(second.told().now_or_never(), Some(Ok(executed())));
        drop(second);
        assert!(all.lock().is_empty());
        // Whoever comes later hands it in anew: that it was executed is told before.
        let mut third = all.wait(id, |answer| take(&mut answers, answer)).unwrap();
        drop(answers.pop());
        assert!(matches!(third.told().now_or_never(), Some(Err(PrivateError::Failed(_)))));
    }

    #[test]
    fn nobody_is_told_when_all_have_gone() {
        let (all, id, mut answers) = (UnderWay::default(), Hash([1; 32]), Vec::new());
        let first = all.wait(id, |answer| take(&mut answers, answer)).unwrap();
        let second = all.wait(id, |_| unreachable!("it is under way")).unwrap();
        drop((first, second));
        assert!(answers.pop().unwrap().is_closed() && all.lock().is_empty());
    }
}
