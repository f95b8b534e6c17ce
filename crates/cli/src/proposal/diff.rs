//! Two texts, line by line: what goes and what comes.

/// The lines of both, each with ` ` when it stays, `-` when it goes, `+` when it comes. What is alike at the beginning and at the
/// end stays.
pub fn lines<'t>(before: &'t str, after: &'t str) -> Vec<(char, &'t str)> {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let start = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    let room = before.len().min(after.len()) - start;
    let end = before.iter().rev().zip(after.iter().rev()).take(room).take_while(|(one, other)| one == other).count();
    let middle = |lines: &[&'t str], sign: char| -> Vec<(char, &'t str)> {
        lines.iter().take(lines.len() - end).skip(start).map(|line| (sign, *line)).collect()
    };
    let mut told: Vec<(char, &str)> = before.iter().take(start).map(|line| (' ', *line)).collect();
    told.extend(middle(&before, '-'));
    told.extend(middle(&after, '+'));
    told.extend(after.iter().skip(after.len() - end).map(|line| (' ', *line)));
    told
}

#[cfg(test)]
mod tests {
    use super::lines;

    /// One row a pair of texts, `/` between lines.
    #[test]
    fn what_is_alike_stays() {
        for (before, after, expected) in [
            ("a/b/c", "a/x/c", " a/-b/+x/ c"),
            ("a/b", "a/b", " a/ b"),
            ("", "a", "+a"),
            ("a", "", "-a"),
            ("a/a", "a", " a/-a"),
            ("a", "a/a", " a/+a"),
            ("x/b", "y/b", "-x/+y/ b"),
        ] {
            let [before, after] = [before, after].map(|text| text.replace('/', "\n"));
            let told: Vec<String> = lines(&before, &after).iter().map(|(sign, line)| format!("{sign}{line}")).collect();
            assert_eq!(told.join("/"), expected);
        }
    }
}
