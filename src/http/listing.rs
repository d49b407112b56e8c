//! The pages of a list: so many items, and where the next page begins.

use serde::Serialize;

/// How many items a page holds.
const PAGE: usize = 100;
/// How many are asked for: one more says that there is a next page.
pub(super) const ASKED: u32 = 101;

/// A page, as it is answered.
#[derive(Serialize)]
pub(super) struct Listing<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl<T> Listing<T> {
    /// Of the [`ASKED`] rows that were asked for, each shown as a `T`; `key` says after which the next page begins.
    pub(super) fn of<R>(mut found: Vec<R>, key: impl Fn(&R) -> String) -> Self
    where
        T: From<R>,
    {
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        Self {
            next: found.last().filter(|_| more).map(key),
            items: found.into_iter().map(T::from).collect(),
        }
    }

    /// All there is, in one page.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_full_names_its_last_where_there_is_more() {
        let page = |count: u32| Listing::<u64>::of((1..=count).collect(), ToString::to_string);
        assert_eq!(usize::try_from(ASKED).unwrap(), PAGE + 1);
        let (none, full, more) = (page(0), page(ASKED - 1), page(ASKED));
        assert_eq!((none.items.len(), none.next), (0, None));
        assert_eq!((full.items.len(), full.next), (PAGE, None));
        assert_eq!(
            (more.items.len(), more.next.as_deref()),
            (PAGE, Some("100"))
        );
    }
}
