//! The form of a policy's text, judged before Cedar reads it.
//!
//! Cedar's parser, validator and evaluator recurse, and give up when the thread's stack runs low. How deep a stack is differs
//! from node to node, so what is put on the ledger must stay far below any: brackets nest to a limit, a policy has so many
//! operators, and the deepest tree that can be built of these fits a small stack many times over (`tests/policy.rs` measures
//! it). Texts are bounded too, because comparing a pattern with a text costs the product of their lengths.

use tallystick_protocol::limits::{POLICY_BYTES_MAX, POLICY_NESTING_MAX, POLICY_OPERATORS_MAX, POLICY_TEXT_BYTES_MAX};

/// What is wrong with a policy's form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Too long.
    #[error("a policy has at most {POLICY_BYTES_MAX} bytes, this one has {0}: split it")]
    Bytes(usize),
    /// Too deep.
    #[error("line {0}: brackets nest more than {POLICY_NESTING_MAX} deep: split the policy")]
    Nesting(usize),
    /// Too many operators.
    #[error("line {0}: a policy has at most {POLICY_OPERATORS_MAX} operators: split it")]
    Operators(usize),
    /// A text too long.
    #[error("line {0}: a text in a policy has at most {POLICY_TEXT_BYTES_MAX} bytes")]
    Text(usize),
}

/// Words that make the tree deeper.
const WORDS: [&str; 8] = ["if", "then", "else", "in", "is", "has", "like", "__cedar"];

/// Judges the form; anything that is no Cedar at all passes here, and not the parser.
///
/// # Errors
/// When a limit is exceeded; the line is named, from 1.
pub(crate) fn judge(text: &str) -> Result<(), FormError> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(FormError::Bytes(text.len()));
    }
    let (mut line, mut depth, mut operators) = (1, 0_usize, 0_usize);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let length = text_length(rest);
                if length > POLICY_TEXT_BYTES_MAX + 2 {
                    return Err(FormError::Text(line));
                }
                length
            }
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '_' | 'a'..='z' | 'A'..='Z' | '0'..='9' => {
                let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
                operators += usize::from(rest.get(..end).is_some_and(|word| WORDS.contains(&word)));
                end
            }
            '(' | '[' | '{' => {
                depth += 1;
                1
            }
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                1
            }
            ',' | ';' | ':' | '?' => 1,
            _ if first.is_whitespace() => first.len_utf8(),
            _ => {
                operators += 1;
                let twice = ["&&", "||", "==", "!=", "<=", ">="].iter().any(|pair| rest.starts_with(pair));
                if twice { 2 } else { first.len_utf8() }
            }
        };
        if depth > POLICY_NESTING_MAX {
            return Err(FormError::Nesting(line));
        }
        if operators > POLICY_OPERATORS_MAX {
            return Err(FormError::Operators(line));
        }
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        line += token.matches('\n').count();
        rest = after;
    }
    Ok(())
}

/// Bytes of the text in quotes with which this begins, both quotes included; to the end if it does not end.
fn text_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_to_the_token() {
        let nested = |n: usize| format!("{}true{}", "(".repeat(n), ")".repeat(n));
        let chain = |n: usize| vec!["true"; n + 1].join(" && ");
        let quoted = |n: usize| format!("\n\"{}\"", "x".repeat(n));
        for (text, judged) in [
            (nested(POLICY_NESTING_MAX), Ok(())),
            (nested(POLICY_NESTING_MAX + 1), Err(FormError::Nesting(1))),
            ("[{(".repeat(POLICY_NESTING_MAX), Err(FormError::Nesting(1))),
            (chain(POLICY_OPERATORS_MAX), Ok(())),
            (chain(POLICY_OPERATORS_MAX + 1), Err(FormError::Operators(1))),
            (format!("\n{}x", "!".repeat(POLICY_OPERATORS_MAX + 1)), Err(FormError::Operators(2))),
            ("x".to_owned() + &".x".repeat(POLICY_OPERATORS_MAX + 1), Err(FormError::Operators(1))),
            ("if a then ".repeat(POLICY_OPERATORS_MAX), Err(FormError::Operators(1))),
            (quoted(POLICY_TEXT_BYTES_MAX), Ok(())),
            (quoted(POLICY_TEXT_BYTES_MAX + 1), Err(FormError::Text(2))),
            // What stands in texts and comments is neither bracket nor operator.
            (format!("\"{}\"", "(".repeat(POLICY_NESTING_MAX + 1)), Ok(())),
            (format!("\"\\\"{}\"", "(".repeat(POLICY_NESTING_MAX + 1)), Ok(())),
            (format!("// {}\n", "(".repeat(POLICY_NESTING_MAX + 1)), Ok(())),
            ("x".repeat(POLICY_BYTES_MAX + 1), Err(FormError::Bytes(POLICY_BYTES_MAX + 1))),
            ("\"".to_owned() + &"é".repeat(9), Ok(())),
        ] {
            assert_eq!(judge(&text), judged, "{text}");
        }
    }
}
