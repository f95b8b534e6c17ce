//! Arguments that are more than text: judged before anything is done, and refused by the name of the argument.

use tallystick_ledger::moment::parse_timestamp;
use tallystick_protocol::operation::validate_name;

/// An id: a slug.
///
/// # Errors
/// Which rule of slugs it breaks.
pub fn slug(text: &str) -> Result<String, String> {
    validate_name(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// A time, as Unix seconds.
///
/// # Errors
/// When it is none.
pub fn timestamp(text: &str) -> Result<u64, String> {
    parse_timestamp(text).ok_or_else(|| "write a time to the second in UTC, such as 2027-04-01T00:00:00Z".to_owned())
}
