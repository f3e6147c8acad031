//! Tests in which real time races, on a machine that may stand still for seconds.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How often such a test is tried, at most.
const MOST_TRIES: u32 = 4;

/// Runs a test in which one timer has to end before another does, or before something happens. A machine that stands
/// still between them spoils a run, and now and then only, while a fault is there in each. So the test fails if all runs
/// do.
///
/// It is for promises about real time. What is about an order waits for that order instead.
///
/// # Panics
/// As the last run does.
pub fn undisturbed(test: impl Fn()) {
    thread_local!(static IS_REPEATED: Cell<bool> = const { Cell::new(false) });
    if IS_REPEATED.replace(true) {
        // As a part of another that is.
        return test();
    }
    for run in 1..MOST_TRIES {
        if catch_unwind(AssertUnwindSafe(&test)).is_ok() {
            IS_REPEATED.set(false);
            return;
        }
        println!("run {run} of at most {MOST_TRIES} failed: the machine may have stood still");
    }
    IS_REPEATED.set(false);
    test();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_that_is_spoiled_is_repeated_and_a_fault_is_told() {
        let runs = Cell::new(0);
        undisturbed(|| {
            runs.set(runs.get() + 1);
            assert!(runs.get() > 1, "spoiled");
        });
        assert_eq!(runs.get(), 2);
        runs.set(0);
        let fault = catch_unwind(AssertUnwindSafe(|| {
            undisturbed(|| {
                undisturbed(|| runs.set(runs.get() + 1));
                panic!("a fault");
            });
        }));
        assert!(fault.is_err());
        assert_eq!(runs.get(), MOST_TRIES, "the runs of one within another do not multiply");
        let fault = catch_unwind(AssertUnwindSafe(|| undisturbed(|| panic!("a fault"))));
        assert_eq!(fault.unwrap_err().downcast_ref(), Some(&"a fault"));
    }
}
