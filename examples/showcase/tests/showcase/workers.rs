//! Workers share the work, and none of it is lost with one of them.

use std::collections::BTreeSet;

use host_tests::broker::Mosquitto;

use crate::form::{BOTH, Program};
use crate::observer::{Observer, text};

/// Who did each job, by its result.
fn workers(output: &str) -> BTreeSet<&str> {
    output.lines().filter_map(|line| line.split_once(": ")).map(|(worker, _)| worker).collect()
}

#[test]
fn work_is_shared() {
    let Some(broker) = Mosquitto::start() else { return };
    for form in BOTH {
        let output = Program::of_readme("workers", &[broker.address()]).run(form).success();
        assert!(output.ends_with("12 jobs are done\n"), "{output}");
        for job in 1..=12 {
            assert_eq!(output.matches(&format!(": {job} squared is {}\n", job * job)).count(), 1, "{output}");
        }
        assert_eq!(workers(&output), BTreeSet::from(["ada", "bob", "cleo"]), "{form:?}");
    }
}

#[test]
fn job_of_a_worker_that_dies_is_done_by_another() {
    let Some(broker) = Mosquitto::start() else { return };
    let program = Program::of_readme("workers", &[broker.address()]);
    for form in BOTH {
        let mut observer = Observer::start(broker.address(), "results/+");
        let mut ada = program.clone().with(&["work", "ada"]).start_until("ada is ready");
        let _bob = program.clone().with(&["work", "bob"]).start_until("bob is ready");
        let boss = program.clone().with(&["boss", "30"]).start(form);
        observer.wait_for("a result of ada", |result| text(result).starts_with("ada: "));
        // She has the next job already.
        ada.kill();
        let output = boss.join().unwrap().success();
        assert!(output.ends_with("30 jobs are done\n"), "{output}");
        assert_eq!(workers(&output), BTreeSet::from(["ada", "bob"]), "{form:?}");
        observer.rest();
    }
}
