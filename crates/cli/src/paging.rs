//! Long answers, page by page: how much of them to show, and how to go on.

use crate::output::{Done, Failure, line};
use clap::Args;
use tallystick_api::{
    AccessLogPage, AuditPage, ConsentList, ErasureList, HoldList, MandateList, NoticePage, PrincipalList, PrivateReads,
    ProposalList,
};

/// What is said of a node that would have the same asked again.
pub const NO_PLACE: &str = "the node names no further place to go on from: ask another node, with --node";

/// How much of a long answer to show; the newest comes first.
#[derive(Debug, Args)]
pub struct Paging {
    /// Show so many at most, the newest ones
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Show all, however many
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Show those before this place, which an earlier answer named
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<u64>,
}

/// A page of a long answer.
pub trait Page {
    /// Adds the page after this one.
    fn join(&mut self, older: Self);
    /// How many things it shows.
    fn held(&self) -> usize;
    /// Where the page after it begins.
    fn next(&self) -> Option<&str>;
}

/// Pages with a list of what they show, and where the next begins.
macro_rules! pages {
    ($($page:ty: $things:ident $(+ $others:ident)*;)+) => {$(
        impl Page for $page {
            fn join(&mut self, older: Self) {
                self.$things.extend(older.$things);
                $(self.$others.extend(older.$others);)*
                self.next = older.next;
            }

            fn held(&self) -> usize {
                self.$things.len()
            }

            fn next(&self) -> Option<&str> {
                self.next.as_deref()
            }
        }
    )+};
}

pages! {
    AccessLogPage: reads;
    AuditPage: acts + turns + recoveries;
    ConsentList: consents;
    ErasureList: erasures;
    HoldList: holds;
    MandateList: mandates;
    NoticePage: corrections;
    PrincipalList: principals;
    PrivateReads: reads + corrections + acknowledgements + unread;
    ProposalList: proposals;
}

impl Paging {
    /// All there is.
    pub const fn everything() -> Self {
        Self { limit: 1, all: true, cursor: None }
    }

    /// As many pages as it takes, as one, each of `max` at most: `page` is asked with names and values of a query.
    ///
    /// # Errors
    /// When a page does not come, or the node would have the same asked again.
    pub fn whole<P: Page>(&self, max: u64, page: impl Fn(&[(&str, &str)]) -> Result<P, Failure>) -> Result<P, Failure> {
        let ask = |held: u64, cursor: Option<String>| {
            let limit = if self.all { max } else { (self.limit - held).min(max) }.to_string();
            let mut query = vec![("limit", limit.as_str())];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            page(&query)
        };
        let mut whole = ask(0, self.cursor.map(|cursor| cursor.to_string()))?;
        let mut before = self.cursor;
        loop {
            let (held, next) = (whole.held(), whole.next().map(str::to_owned));
            if next.is_none() || (!self.all && held as u64 >= self.limit) {
                return Ok(whole);
            }
            // A place lies before the one asked for, or the node would be asked for ever.
            let place = next.as_deref().and_then(|next| next.parse::<u64>().ok());
            let goes_on = place.is_some_and(|place| before.is_none_or(|before| place < before));
            if !goes_on {
                return Err(Failure::error(NO_PLACE));
            }
            before = place;
            whole.join(ask(held as u64, next)?);
        }
    }

    /// Of all there is, each with its place, the newest first: what is to be shown, and the place that more comes before. What is in one
    /// place stays together.
    pub fn part<T>(&self, all: Vec<T>, place: impl Fn(&T) -> u64) -> (Vec<T>, Option<String>) {
        let mut part: Vec<T> = Vec::new();
        for thing in all.into_iter().filter(|thing| self.cursor.is_none_or(|before| place(thing) < before)) {
            let last = part.last().map(&place).filter(|last| *last != place(&thing));
            if let Some(last) = last.filter(|_| !self.all && part.len() as u64 >= self.limit) {
                return (part, Some(last.to_string()));
            }
            part.push(thing);
        }
        (part, None)
    }

    /// Whether the answer begins with the newest.
    pub const fn is_from_the_newest(&self) -> bool {
        self.cursor.is_none()
    }

    /// The cursor and the limit of a query whose cursors are numbers, for a question that is signed.
    pub fn numbered(query: &[(&str, &str)]) -> (Option<u64>, Option<u64>) {
        let number = |name: &str| query.iter().find(|(of, _)| *of == name).and_then(|(_, text)| text.parse().ok());
        (number("cursor"), number("limit"))
    }

    /// Says how to go on, if there is more.
    pub fn more(next: Option<&str>) -> Done {
        next.map_or(Ok(()), |cursor| line(format_args!("there are more: --cursor {cursor} goes on, --all shows all")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    impl Page for (Vec<u64>, Option<String>) {
        fn join(&mut self, older: Self) {
            self.0.extend(older.0);
            self.1 = older.1;
        }

        fn held(&self) -> usize {
            self.0.len()
        }

        fn next(&self) -> Option<&str> {
            self.1.as_deref()
        }
    }

    /// Seven things, of which a page never holds more than two, and one page holds none.
    fn shown(paging: &Paging) -> (Vec<u64>, Option<String>) {
        let page = |query: &[(&str, &str)]| {
            let value =
                |name: &str| query.iter().find(|(other, _)| *other == name).map(|(_, text)| text.parse().unwrap());
            let (before, limit) = (value("cursor").unwrap_or(8u64), value("limit").unwrap());
            let first = before.saturating_sub(limit.min(2));
            let things: Vec<u64> = if before == 4 { Vec::new() } else { (first..before).rev().collect() };
            Ok((things, (first > 0).then(|| first.to_string())))
        };
        paging.whole(3, page).unwrap()
    }

    #[test]
    fn a_node_that_repeats_itself_is_left() {
        let all = Paging { limit: 50, all: true, cursor: None };
        let page = |_: &[(&str, &str)]| Ok((vec![7_u64], Some("5".to_owned())));
        let asked = all.whole(3, page);
        assert!(matches!(asked, Err(Failure::Error(why)) if why == NO_PLACE));
    }

    #[test]
    fn what_is_in_one_place_is_shown_together() {
        let all = || vec![9, 7, 7, 4, 1];
        let rows =
            [(2, None, vec![9, 7, 7], Some("7")), (1, Some(9), vec![7, 7], Some("7")), (3, Some(7), vec![4, 1], None)];
        for (limit, cursor, shown, next) in rows {
            let paging = Paging { limit, all: false, cursor };
            assert_eq!(paging.part(all(), |place| *place), (shown, next.map(str::to_owned)));
        }
        assert_eq!(Paging::everything().part(all(), |place| *place), (all(), None));
    }

    #[test]
    fn pages_are_asked_for_until_there_are_enough() {
        let all = Paging { limit: 50, all: true, cursor: None };
        assert_eq!(shown(&all), (vec![7, 6, 5, 4, 1, 0], None));
        let three = Paging { limit: 3, all: false, cursor: None };
        assert_eq!(shown(&three), (vec![7, 6, 5], Some("5".to_owned())));
        let on = Paging { limit: 3, all: false, cursor: Some(6) };
        assert_eq!(shown(&on), (vec![5, 4, 2], Some("2".to_owned())));
    }
}
