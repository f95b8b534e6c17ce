//! Comma-separated values with a heading (RFC 4180), as spreadsheets write and read them.

/// A file's heading and rows, each row with the number of its first line.
#[derive(Debug, PartialEq, Eq)]
pub struct Csv {
    /// The names of the columns.
    pub heading: Vec<String>,
    /// Line, from 1, and cells.
    pub rows: Vec<(usize, Vec<String>)>,
}

/// Reads a file. Every row must be as wide as the heading; empty lines are passed over.
///
/// # Errors
/// Names the line.
pub fn parse(text: &str) -> Result<Csv, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows = Reader { chars: text.chars().peekable(), line: 1 }.rows()?.into_iter();
    let (_, heading) = rows.next().ok_or("the file is empty: begin with a line of field names")?;
    let rows: Vec<_> = rows.collect();
    if let Some((line, row)) = rows.iter().find(|(_, row)| row.len() != heading.len()) {
        return Err(format!("line {line} has {} cells where the heading has {}", row.len(), heading.len()));
    }
    Ok(Csv { heading, rows })
}

/// One line of a file, whose end needs but a line feed after it. A cell that a spreadsheet would take for a formula is shown as text: what is written in it
/// may be another's.
pub fn joined(cells: &[String]) -> String {
    let cell = |cell: &String| {
        let formula = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        if formula.is_empty() && !cell.contains([',', '"', '\n', '\r']) {
            return cell.clone();
        }
        format!("\"{formula}{}\"", cell.replace('"', "\"\""))
    };
    format!("{}\r", cells.iter().map(cell).collect::<Vec<_>>().join(","))
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn rows(mut self) -> Result<Vec<(usize, Vec<String>)>, String> {
        let mut rows = Vec::new();
        while self.chars.peek().is_some() {
            let line = self.line;
            let row = self.row()?;
            if row.iter().any(|cell| !cell.is_empty()) {
                rows.push((line, row));
            }
        }
        Ok(rows)
    }

    fn row(&mut self) -> Result<Vec<String>, String> {
        let mut row = Vec::new();
        loop {
            row.push(if self.chars.next_if_eq(&'"').is_some() { self.quoted()? } else { self.plain() });
            match self.chars.next() {
                Some(',') => {}
                Some('\n') => {
                    self.line += 1;
                    return Ok(row);
                }
                Some('\r') if self.chars.next_if_eq(&'\n').is_some() => {
                    self.line += 1;
                    return Ok(row);
                }
                None => return Ok(row),
                Some(_) => return Err(format!("line {}: after a closing quote a comma must follow", self.line)),
            }
        }
    }

    fn plain(&mut self) -> String {
        let mut cell = String::new();
        while let Some(c) = self.chars.next_if(|c| !matches!(c, ',' | '\n' | '\r')) {
            cell.push(c);
        }
        cell
    }

    fn quoted(&mut self) -> Result<String, String> {
        let begun = self.line;
        let mut cell = String::new();
        loop {
            match self.chars.next() {
                Some('"') if self.chars.next_if_eq(&'"').is_some() => cell.push('"'),
                Some('"') => return Ok(cell),
                Some(c) => {
                    self.line += usize::from(c == '\n');
                    cell.push(c);
                }
                None => return Err(format!("the quote opened in line {begun} is never closed")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(line: usize, cells: &[&str]) -> (usize, Vec<String>) {
        (line, cells.iter().map(|cell| (*cell).to_owned()).collect())
    }

    #[test]
    fn files_of_spreadsheets_are_read() {
        let csv = parse("\u{feff}school,name\r\n1,\"Cass, \"\"Sir\"\" John\"\r\n\n2,\"two\nlines\"\n3,").unwrap();
        assert_eq!(csv.heading, ["school", "name"]);
        assert_eq!(csv.rows, [row(2, &["1", "Cass, \"Sir\" John"]), row(4, &["2", "two\nlines"]), row(6, &["3", ""])]);
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let cells = ["plain", "a, \"b\"", "two\nlines", ""].map(str::to_owned);
        let read = parse(&format!("1,2,3,4\r\n{}\n", joined(&cells))).unwrap();
        assert_eq!(read.rows, [(2, cells.to_vec())]);
        assert_eq!(joined(&["=HYPERLINK(\"x\")".to_owned()]), "\"'=HYPERLINK(\"\"x\"\")\"\r");
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(parse("a,b\n1\n").unwrap_err(), "line 2 has 1 cells where the heading has 2");
        assert_eq!(parse("a\n\"x\n").unwrap_err(), "the quote opened in line 2 is never closed");
        assert_eq!(parse("a,b\n\"x\"y,1\n").unwrap_err(), "line 2: after a closing quote a comma must follow");
        assert!(parse("").unwrap_err().contains("empty"));
    }
}
