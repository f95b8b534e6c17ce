//! What commands write: answers to standard output, what goes on meanwhile to standard error; colours for people only.

use serde::Serialize;
use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};
use tallystick_client::Error;
use tallystick_protocol::change::words::Shown;

/// The thing checked does not hold, or the network said no.
const EXIT_NO: u8 = 1;
/// The command or its surroundings are not right.
const EXIT_ERROR: u8 = 2;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The thing checked does not hold, or the network said no: exit code 1.
    No(String),
    /// As [`Failure::No`], and everything has been said.
    Said,
    /// The command or its surroundings are not right: exit code 2.
    Error(String),
    /// The reader of the output went away: nobody is left to tell.
    Unread,
}

/// What a command gives back.
pub type Done = Result<(), Failure>;

impl Failure {
    /// An error of the surroundings.
    pub fn error(message: impl Display) -> Self {
        Self::Error(message.to_string())
    }

    /// A "no".
    pub fn no(message: impl Display) -> Self {
        Self::No(message.to_string())
    }

    /// Tells it, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::No(message) => {
                say(format_args!("{} {message}", paint_err(Colour::Red, "no:")));
                ExitCode::from(EXIT_NO)
            }
            Self::Said => ExitCode::from(EXIT_NO),
            Self::Error(message) => {
                say(format_args!("{} {message}", paint_err(Colour::Red, "error:")));
                ExitCode::from(EXIT_ERROR)
            }
            Self::Unread => ExitCode::from(EXIT_ERROR),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::No(message) | Self::Error(message) => f.write_str(message),
            Self::Said | Self::Unread => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.status() {
            Some(400..=499) => Self::no(error),
            _ => Self::error(error),
        }
    }
}

impl From<tallystick_client::keyfile::KeyFileError> for Failure {
    fn from(error: tallystick_client::keyfile::KeyFileError) -> Self {
        Self::error(error)
    }
}

impl From<tallystick_client::pkcs11::TokenError> for Failure {
    fn from(error: tallystick_client::pkcs11::TokenError) -> Self {
        Self::error(error)
    }
}

impl From<tallystick_client::profile::ProfileError> for Failure {
    fn from(error: tallystick_client::profile::ProfileError) -> Self {
        Self::error(error)
    }
}

/// Adds what was being done to an input or output error.
pub trait Doing<T> {
    /// The error as a failure that begins with `what`, such as "cannot read `x`".
    ///
    /// # Errors
    /// When there was one.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::Error(format!("{}: {error}", what())))
    }
}

/// Writes a line of the answer.
///
/// # Errors
/// When nobody reads any more.
pub fn line(text: impl Display) -> Done {
    writeln!(io::stdout().lock(), "{text}").map_err(|_| Failure::Unread)
}

/// Writes the answer as indented JSON.
///
/// # Errors
/// When nobody reads any more.
pub fn json(value: &impl Serialize) -> Done {
    let text = serde_json::to_string_pretty(value).map_err(Failure::error)?;
    line(text)
}

/// Tells what goes on, beside the answer.
pub fn say(text: impl Display) {
    // Who closed standard error does not want to hear it.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Colours, few and always beside words that say the same.
#[derive(Debug, Clone, Copy)]
pub enum Colour {
    /// It holds.
    Green,
    /// It does not.
    Red,
    /// Take notice.
    Yellow,
    /// A heading.
    Bold,
    /// Less important.
    Dim,
}

/// The text in a colour, if standard output is a terminal.
pub fn paint(colour: Colour, text: &str) -> String {
    paint_if(io::stdout().is_terminal(), colour, text)
}

/// The text in a colour, if standard error is a terminal.
pub fn paint_err(colour: Colour, text: &str) -> String {
    paint_if(io::stderr().is_terminal(), colour, text)
}

fn paint_if(terminal: bool, colour: Colour, text: &str) -> String {
    if !terminal || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Green => "32",
        Colour::Red => "31",
        Colour::Yellow => "33",
        Colour::Bold => "1",
        Colour::Dim => "2",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// A table with a heading; columns as wide as they need, numbers to the right.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading.
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    /// Adds a row; what a cell would hide is escaped, whoever wrote it.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| Shown(&cell).to_string()).collect());
    }

    /// The lines of the table.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
            .collect();
        let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let numbers: Vec<bool> = (0..columns)
            .map(|column| {
                self.rows.iter().skip(1).all(|row| cell(row, column).is_empty() || is_number(&cell(row, column)))
            })
            .collect();
        let format = |row: &Vec<String>| {
            let cells = widths.iter().zip(&numbers).enumerate().map(|(column, (&width, &number))| {
                let text = cell(row, column);
                if number && self.rows.len() > 1 { format!("{text:>width$}") } else { format!("{text:<width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(format).collect()
    }

    /// Writes the table, its heading in bold.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn print(&self) -> Done {
        for (index, text) in self.lines().into_iter().enumerate() {
            line(if index == 0 { paint(Colour::Bold, &text) } else { text })?;
        }
        Ok(())
    }
}

/// Thousands apart: `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 entry`, `2 entries`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// Unix milliseconds as `2026-11-23 19:20:15 UTC`.
pub fn time(ms: u64) -> String {
    let text = tallystick_ledger::moment::format_timestamp(ms / 1_000);
    text.replace('T', " ").replace('Z', " UTC")
}

/// A progress bar on standard error; drawn only on a terminal.
pub fn progress(length: u64, what: &str) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(length);
    let style =
        indicatif::ProgressStyle::with_template("{msg} [{bar:30}] {human_pos}/{human_len} {elapsed}, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.to_owned());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_numbers_to_the_right() {
        let mut table = Table::new(&["node", "height"]);
        table.row(["a".into(), "7".into()]);
        table.row(["longer".into(), "1,234".into()]);
        assert_eq!(table.lines(), ["node    height", "a            7", "longer   1,234"]);
        table.row(["x\n\u{1b}[2J\u{202e}".into(), String::new()]);
        assert_eq!(table.lines().pop().unwrap_or_default(), "x\\n\\u{1b}[2J\\u{202e}");
    }

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!([thousands(7), thousands(1_234), thousands(1_234_567)], ["7", "1,234", "1,234,567"]);
        assert_eq!(count(1, "entry", "entries"), "1 entry");
        assert_eq!(time(1_500_289_186_999), "2017-07-17 10:59:46 UTC");
    }
}
