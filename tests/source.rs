//! Reads Rust source by its lines, as rustfmt lays them out: what a file defines, how long its functions are.

use std::collections::BTreeSet;

/// Words that may stand before the keyword of a definition.
const QUALIFIERS: [&str; 6] = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe"];
/// Words that begin a definition.
const KEYWORDS: [&str; 9] = ["fn", "struct", "enum", "trait", "type", "const", "static", "mod", "macro_rules!"];

/// The names a source file defines: functions and methods, types, constants, modules and macros.
pub fn definitions(source: &str) -> BTreeSet<&str> {
    let names = source.lines().filter_map(definition).map(|(_, name)| name);
    names.chain(enumeration_values(source)).collect()
}

/// The constants whose name ends in the bound they set, tests left out.
pub fn limits(source: &str) -> Vec<&str> {
    let constants = production(source).lines().filter_map(definition).filter(|(keyword, _)| *keyword == "const");
    let named = constants.map(|(_, name)| name);
    named.filter(|name| ["_MAX", "_MIN"].iter().any(|end| name.ends_with(end))).collect()
}

/// The published names that the macro `names!` gives the values of an enumeration, in their order.
pub fn published_names<'a>(source: &'a str, enumeration: &str) -> Vec<&'a str> {
    let body = source.split(&format!("pub enum {enumeration},")).nth(1).and_then(|rest| rest.split("\n    }").next());
    let values = body.unwrap_or_default().lines().filter(|line| !line.trim_start().starts_with("//"));
    values.filter_map(|line| line.split_once(" = \"")?.1.split('"').next()).collect()
}

/// The functions whose body is longer than `lines_max` lines, each with its length; tests left out.
pub fn long_functions(source: &str, lines_max: usize) -> Vec<(String, usize)> {
    let mut open: Option<(&str, usize, Option<usize>)> = None;
    let mut long = Vec::new();
    for (number, line) in production(source).lines().enumerate() {
        let indent = line.len().saturating_sub(line.trim_start().len());
        if open.is_none() {
            open = definition(line).filter(|(keyword, _)| *keyword == "fn").map(|(_, name)| (name, indent, None));
        }
        let Some((name, at, body)) = open else { continue };
        match body {
            None if line.ends_with(';') || line.ends_with('}') => open = None,
            None if line.ends_with('{') => open = Some((name, at, Some(number.saturating_add(1)))),
            Some(start) if indent == at && line.trim() == "}" => {
                let length = number.saturating_sub(start);
                if length > lines_max {
                    long.push((name.to_owned(), length));
                }
                open = None;
            }
            _ => {}
        }
    }
    long
}

/// The source before its tests, which stand last in a file.
pub fn production(source: &str) -> &str {
    source.split("#[cfg(test)]\nmod ").next().unwrap_or(source)
}

/// The sentence a file opens with.
pub fn first_doc_line(source: &str) -> Option<&str> {
    source.lines().find_map(|line| line.strip_prefix("//! "))
}

/// Whether `word` stands in `source` by itself, not as a part of a longer name.
pub fn names(source: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    source.match_indices(word).any(|(at, _)| {
        let before = source.get(..at).and_then(|text| text.chars().next_back());
        let after = source.get(at.saturating_add(word.len())..).and_then(|text| text.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// The source without its comments, so that a mention is not a use.
pub fn code(source: &str) -> String {
    let kept = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    kept.collect::<Vec<_>>().join("\n")
}

/// The keyword and the name of the definition that a line begins.
fn definition(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace().peekable();
    let mut keyword = None;
    while let Some(word) = words.next() {
        let next_is_keyword = words.peek().is_some_and(|next| KEYWORDS.contains(next) || QUALIFIERS.contains(next));
        if QUALIFIERS.contains(&word) && next_is_keyword {
            continue;
        }
        if KEYWORDS.contains(&word) {
            keyword = Some(word);
        } else if word != "pub" && !word.starts_with("pub(") {
            return None;
        }
        if keyword.is_some() {
            break;
        }
    }
    let name = words.next()?.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    Some((keyword?, name)).filter(|(_, name)| !name.is_empty())
}

/// The values of enumerations: capitalised words that begin a line inside of braces and are followed by a delimiter.
fn enumeration_values(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter(|line| line.starts_with("    ")).filter_map(|line| {
        let line = line.trim_start();
        let end = line.find(|c: char| !c.is_alphanumeric())?;
        let (name, rest) = line.split_at_checked(end)?;
        let capital = name.starts_with(|c: char| c.is_ascii_uppercase());
        let value = [",", " {", "(", " ="].iter().any(|mark| rest.starts_with(mark));
        (capital && value).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "//! Keep time.\n//!\npub struct Clock;\npub(crate) const fn tick() {}\nimpl Clock {\n    \
        pub async fn wait(&self) {\n        now();\n    }\n}\nenum Kind {\n    Fast,\n    Slow(u8),\n}\n\
        const TICKS_MAX: u64 = 3;\n// use axum::Router;\nlet fn_like = 1;\n\
        #[cfg(test)]\nmod tests {\n    const LEFT_OUT_MAX: u8 = 1;\n}\n";

    #[test]
    fn every_kind_of_definition_is_found() {
        let found = definitions(SAMPLE);
        for name in ["Clock", "tick", "wait", "Kind", "Fast", "Slow", "TICKS_MAX"] {
            assert!(found.contains(name), "`{name}` of {found:?}");
        }
        for name in ["now", "fn_like", "axum"] {
            assert!(!found.contains(name), "`{name}` of {found:?}");
        }
    }

    #[test]
    fn published_names_are_read_in_order() {
        let source = "names! {\n    pub enum Other, \"o\" {\n        X = \"x\",\n    }\n}\nnames! {\n    pub enum Code, \"c\" {\n        \
            /// As = \"it\".\n        A = \"a-b\",\n        C = \"d\",\n    }\n}\n";
        assert_eq!(published_names(source, "Code"), ["a-b", "d"]);
        assert_eq!(published_names(source, "None"), Vec::<&str>::new());
    }

    #[test]
    fn a_limit_is_a_constant_outside_of_tests() {
        assert_eq!(limits(SAMPLE), ["TICKS_MAX"]);
    }

    #[test]
    fn length_is_that_of_the_body() {
        let source = "fn a() {\n    one();\n}\nimpl B {\n    fn b(\n        c: u8,\n    )\n    where\n        C: D,\n    {\n        \
            if c {\n        }\n        two();\n    }\n    fn none(&self);\n    fn short() {}\n    fn last() {\n        x\n    }\n}\n";
        let named = |name: &str, lines| (name.to_owned(), lines);
        assert_eq!(long_functions(source, 0), [named("a", 1), named("b", 3), named("last", 1)]);
        assert_eq!(long_functions(source, 1), [named("b", 3)]);
        assert_eq!(long_functions(source, 3), []);
    }

    #[test]
    fn a_name_is_a_whole_word_and_a_comment_no_use() {
        assert!(names("use axum::Router;", "axum"));
        assert!(!names("use axum_extra::Router;", "axum"));
        assert!(!names(&code(SAMPLE), "axum"));
        assert_eq!(first_doc_line(SAMPLE), Some("Keep time."));
    }
}
