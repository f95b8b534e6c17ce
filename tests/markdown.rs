//! Reads the few shapes of Markdown that our documents promise something in: code spans, code blocks, links and tables.

/// A piece of a document and the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Line number, from 1.
    pub line: usize,
    /// The text between the marks.
    pub text: String,
}

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Line number of its first content, from 1.
    pub line: usize,
    /// The first word behind the fence.
    pub language: String,
    /// The other words behind the fence, which no reader sees.
    pub marks: String,
    /// What stands in it.
    pub text: String,
}

/// A line of a document, and whether a fence holds it.
struct Line<'a> {
    number: usize,
    text: &'a str,
    /// The words behind the fence of the block it stands in; none for prose.
    fence: Option<&'a str>,
}

/// The inline code spans of the prose; those of code blocks do not count.
pub fn code_spans(document: &str) -> Vec<Span> {
    prose(document)
        .flat_map(|line| {
            let pieces = line.text.split('`').skip(1).step_by(2);
            pieces.map(move |text| Span { line: line.number, text: text.to_owned() }).collect::<Vec<_>>()
        })
        .collect()
}

/// The fenced blocks.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut next = 0;
    for line in lines(document) {
        let Some(fence) = line.fence else { continue };
        match blocks.last_mut().filter(|_| line.number == next) {
            Some(block) => {
                block.text.push('\n');
                block.text.push_str(line.text);
            }
            None => {
                let (language, marks) = fence.split_once(' ').unwrap_or((fence, ""));
                let (language, marks) = (language.to_owned(), marks.trim().to_owned());
                blocks.push(Block { line: line.number, language, marks, text: line.text.to_owned() });
            }
        }
        next = line.number.saturating_add(1);
    }
    blocks
}

/// The fenced blocks of one language, each with the line of its first content.
pub fn code_blocks(document: &str, language: &str) -> Vec<Span> {
    let of_language = blocks(document).into_iter().filter(|block| block.language == language);
    of_language.map(|block| Span { line: block.line, text: block.text }).collect()
}

/// The targets of links, without their fragment; absolute ones and links within the page are left out.
pub fn links(document: &str) -> Vec<Span> {
    prose(document)
        .flat_map(|line| {
            let targets = line.text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            let files = targets.filter_map(|(target, _)| target.split('#').next());
            let local = files.filter(|file| !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:"));
            local.map(move |file| Span { line: line.number, text: file.to_owned() }).collect::<Vec<_>>()
        })
        .collect()
}

/// The rows of the table whose header starts with the cell `first`, without header and rule; empty when there is none.
pub fn table(document: &str, first: &str) -> Vec<Vec<String>> {
    let rows = prose(document).skip_while(|line| cells(line.text).first().is_none_or(|cell| cell != first));
    rows.skip(2).map(|line| cells(line.text)).take_while(|cells| !cells.is_empty()).collect()
}

/// A cell without its code marks: `` `node` `` and `node` are the same name.
pub fn plain(cell: &str) -> String {
    cell.replace('`', "")
}

fn cells(row: &str) -> Vec<String> {
    let inner = row.trim().strip_prefix('|').and_then(|row| row.strip_suffix('|'));
    inner.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).unwrap_or_default()
}

fn prose(document: &str) -> impl Iterator<Item = Line<'_>> {
    lines(document).filter(|line| line.fence.is_none())
}

/// Every line but the fences themselves.
fn lines(document: &str) -> impl Iterator<Item = Line<'_>> {
    let mut fence = None;
    document.lines().enumerate().filter_map(move |(index, text)| match text.trim_start().strip_prefix("```") {
        Some(language) => {
            fence = if fence.is_none() { Some(language.trim()) } else { None };
            None
        }
        None => Some(Line { number: index.saturating_add(1), text, fence }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "See `a.rs` and [there](docs/b.md#c), [here](#d), [away](https://e.org).\n\
        ```sh\ntally `x`\ntally y\n```\n```sh fails now\nthird\n```\n\
        | crate | does |\n|---|---|\n| `node` | Serve. |\n| sim | Run. |\n\nEnd `f()`.\n";

    fn texts(spans: &[Span]) -> Vec<(usize, &str)> {
        spans.iter().map(|span| (span.line, span.text.as_str())).collect()
    }

    #[test]
    fn spans_are_those_of_the_prose() {
        assert_eq!(texts(&code_spans(SAMPLE)), [(1, "a.rs"), (11, "node"), (14, "f()")]);
    }

    #[test]
    fn blocks_are_told_apart_by_language_and_fence() {
        assert_eq!(texts(&code_blocks(SAMPLE, "sh")), [(3, "tally `x`\ntally y"), (7, "third")]);
        assert_eq!(code_blocks(SAMPLE, "text"), []);
        assert_eq!(blocks(SAMPLE).iter().map(|block| block.marks.as_str()).collect::<Vec<_>>(), ["", "fails now"]);
    }

    #[test]
    fn links_are_the_local_files() {
        assert_eq!(texts(&links(SAMPLE)), [(1, "docs/b.md")]);
    }

    #[test]
    fn a_table_ends_with_its_last_row() {
        assert_eq!(table(SAMPLE, "crate"), [["`node`", "Serve."], ["sim", "Run."]]);
        assert_eq!(table(SAMPLE, "absent"), Vec::<Vec<String>>::new());
    }
}
