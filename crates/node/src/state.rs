//! The ledger's rows, read and decoded at the newest applied block.

use crate::engine::Runtime;
use tallystick_ledger::PrincipalRow;
use tallystick_protocol::{PrincipalId, StateKey};
use tallystick_storage::read::Reader;

/// The principal's row; `None` if there is none, or it cannot be read now.
pub async fn principal<E: Runtime>(reader: &Reader<E>, id: &PrincipalId) -> Option<PrincipalRow> {
    let row = reader.rows(&[StateKey::principal(id)]).await.ok()?.rows.pop()??;
    PrincipalRow::decode(&row).ok()
}
