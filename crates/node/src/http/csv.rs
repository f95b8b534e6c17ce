//! Comma-separated values as openregister serves them: a header line, lines ended by CR LF (RFC 4180), the values of a
//! list joined by `;`.
//!
//! A value is quoted where openregister-java quotes it, so that a file compares equal: when it is longer than 24
//! characters or holds a character up to `,` (the space among them).

/// Longest value, in UTF-16 code units, that may stand without quotes.
const BARE_UNITS: usize = 24;

/// Appends one line.
pub fn line<'a>(out: &mut String, values: impl IntoIterator<Item = &'a str>) {
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        field(out, value);
    }
    out.push_str("\r\n");
}

fn field(out: &mut String, value: &str) {
    let bare = value.bytes().all(|byte| byte > b',') && value.encode_utf16().count() <= BARE_UNITS;
    if bare {
        out.push_str(value);
        return;
    }
    out.push('"');
    out.push_str(&value.replace('"', "\"\""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(values: &[&str]) -> String {
        let mut out = String::new();
        line(&mut out, values.iter().copied());
        out
    }

    #[test]
    fn values_are_quoted_where_they_must_be_or_might() {
        assert_eq!(written(&["GB", "", "2016-04-05T13:23:05Z"]), "GB,,2016-04-05T13:23:05Z\r\n");
        assert_eq!(written(&["United Kingdom", "a;b"]), "\"United Kingdom\",a;b\r\n");
        assert_eq!(written(&["say \"no\"", "a,b", "a\r\nb"]), "\"say \"\"no\"\"\",\"a,b\",\"a\r\nb\"\r\n");
        assert_eq!(written(&["Côte", &"x".repeat(24), &"x".repeat(25)]), {
            format!("Côte,{},\"{}\"\r\n", "x".repeat(24), "x".repeat(25))
        });
    }
}
