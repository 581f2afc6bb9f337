//! A panic in a story is a broken rule like others: caught, with its words and its place, and the next story is told.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

static HOOK: Once = Once::new();

/// Whether this thread tells a story.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    No,
    /// A panic is kept for the end.
    Quietly,
    /// It is printed as well, where it happens: somebody listens.
    Aloud,
}

thread_local! {
    static TELLING: Cell<Telling> = const { Cell::new(Telling::No) };
    static SAID: Cell<Option<String>> = const { Cell::new(None) };
}

/// Does something; where that panics, which rule is broken. What it was doing then is half done.
pub(super) fn caught(spoken: bool, act: impl FnOnce()) -> Result<(), String> {
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            let telling = TELLING.get();
            if telling != Telling::No {
                SAID.set(Some(rule(panic)));
            }
            if telling != Telling::Quietly {
                before(panic);
            }
        }));
    });
    TELLING.set(if spoken { Telling::Aloud } else { Telling::Quietly });
    let done = catch_unwind(AssertUnwindSafe(act));
    TELLING.set(Telling::No);
    done.map_err(|_| SAID.take().unwrap_or_else(|| "a panic without words".to_owned()))
}

/// The line stands apart from the file: shrinking compares rules without their numbers.
fn rule(panic: &PanicHookInfo<'_>) -> String {
    let words = panic.payload_as_str().unwrap_or("nothing in words");
    match panic.location() {
        Some(place) => format!("a panic in {} at line {}: {words}", place.file(), place.line()),
        None => format!("a panic: {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_words_and_its_place_and_what_comes_next_is_another_matter() {
        let said = caught(false, || panic!("{} too many", 3)).expect_err("it panics");
        assert!(said.starts_with("a panic in ") && said.ends_with(": 3 too many"), "{said}");
        assert!(said.contains("panics.rs at line "), "{said}");
        assert_eq!(caught(false, || ()), Ok(()));
    }

    #[test]
    fn a_panic_with_no_words_is_told_too() {
        let said = caught(false, || std::panic::panic_any(7)).expect_err("it panics");
        assert!(said.ends_with(": nothing in words"), "{said}");
    }
}
