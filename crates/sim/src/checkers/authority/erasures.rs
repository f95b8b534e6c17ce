//! Orders of erasure and holds, from accepted acts alone: who must destroy, who said so, and that nobody did while a hold lasted.

use super::{Network, Rows};
use std::collections::{BTreeMap, BTreeSet};
use tallystick_protocol::{ErasureRow, Operation, PrincipalId, StateKey, Subject};

/// What was ordered, held and consented to.
#[derive(Clone, Default)]
pub struct Erasures {
    orders: BTreeMap<String, Order>,
    /// Each with when it ends, where that was said: Unix milliseconds.
    pub(super) holds: BTreeMap<String, (String, Subject, Option<u64>)>,
    /// Consents, each with its controller.
    pub(super) consents: BTreeMap<String, String>,
}

#[derive(Clone)]
struct Order {
    controller: String,
    subject: Subject,
    /// Who has not said that it destroyed.
    outstanding: BTreeSet<PrincipalId>,
}

impl Network {
    /// What an accepted operation changes of what is erased and held, done by somebody in a block of this time.
    pub(super) fn follow_erasures(
        &mut self,
        actor: &PrincipalId,
        time_ms: u64,
        operation: &Operation,
    ) -> Result<(), String> {
        match operation {
            Operation::ErasureOrder { order, controller, subject, scope, .. } => {
                self.explain(controller, subject);
                self.explained.insert(StateKey::erasure(order));
                let values = scope.values().unwrap_or_default().iter();
                self.explained.extend(values.map(|value| StateKey::erased_value(controller, subject, value)));
                let outstanding: BTreeSet<PrincipalId> =
                    self.nodes.iter().filter(|node| node.organisation() == controller).cloned().collect();
                if outstanding.is_empty() {
                    return Err(format!("{order} was ordered of {controller}, which has no node"));
                }
                let new = Order { controller: controller.clone(), subject: subject.clone(), outstanding };
                match self.erasures.orders.insert(order.clone(), new) {
                    None => Ok(()),
                    Some(_) => Err(format!("{order} was ordered again")),
                }
            }
            Operation::ErasureReceipt { order, .. } => {
                let known = self.erasures.orders.get_mut(order).ok_or_else(|| format!("{order} was not ordered"))?;
                if !known.outstanding.remove(actor) {
                    return Err(format!("{} said that it did {order}, and need not", actor));
                }
                let held = self.erasures.holds.values().any(|(controller, subject, until_ms)| {
                    let lasts = until_ms.is_none_or(|until_ms| time_ms < until_ms);
                    (controller, subject) == (&known.controller, &known.subject) && lasts
                });
                if held { Err(format!("{} said that it did {order} while that is held", actor)) } else { Ok(()) }
            }
            Operation::HoldPlace { hold, controller, subject, until, .. } => {
                self.explain(controller, subject);
                self.explained.insert(StateKey::hold(hold));
                self.erasures.holds.insert(hold.clone(), (controller.clone(), subject.clone(), *until));
                Ok(())
            }
            Operation::HoldLift { hold, .. } => match self.erasures.holds.remove(hold) {
                Some(_) => Ok(()),
                None => Err(format!("{hold} was lifted, and not there")),
            },
            Operation::ConsentGive { consent, controller, .. } => {
                match self.erasures.consents.insert(consent.clone(), controller.clone()) {
                    None => Ok(()),
                    Some(_) => Err(format!("{consent} was given again")),
                }
            }
            _ => Ok(()),
        }
    }

    /// The rows that an order or a hold of this subject writes beside its own.
    fn explain(&mut self, controller: &str, subject: &Subject) {
        self.explained.insert(StateKey::subject(controller, subject));
        for name in [controller, ""] {
            // No run orders more than a page holds.
            self.explained.extend([StateKey::controller(name), StateKey::erasures(name, 0), StateKey::holds(name, 0)]);
        }
    }

    /// Judges whether each order stands where what was said leaves it.
    pub(super) fn judge_erasures(&self, rows: &Rows) -> Result<(), String> {
        for (id, order) in &self.erasures.orders {
            let row = rows.get(&StateKey::erasure(id)).ok_or_else(|| format!("{id} was ordered, and is not there"))?;
            let row = ErasureRow::decode(row).map_err(|error| error.to_string())?;
            let outstanding: BTreeSet<PrincipalId> = row.outstanding().cloned().collect();
            if outstanding != order.outstanding || row.is_complete() != outstanding.is_empty() {
                return Err(format!("{id} waits for {outstanding:?}, where {:?} have said nothing", order.outstanding));
            }
        }
        Ok(())
    }
}
