//! Lamps obey, and the one who commands them learns what came of it.

use host_tests::broker::Mosquitto;
use host_tests::timing::undisturbed;

use crate::form::{BOTH, Program};
use crate::observer::{Observer, text};

#[test]
fn each_command_has_an_answer_or_a_reason() {
    undisturbed(|| {
        let Some(broker) = Mosquitto::start() else { return };
        for form in BOTH {
            let output = Program::of_readme("command_and_control", &[broker.address()]).run(form).success();
            let expected = [
                "kitchen: brightness 80",
                "hall: brightness 80",
                "hall: refused: brightness 120 is not 0 to 100",
                "attic: there is no such lamp, or it is offline",
                "as expected: 2 of 2 lamps did not obey",
            ];
            assert_eq!(output.lines().collect::<Vec<_>>(), expected, "{form:?}");
        }
    });
}

#[test]
fn lamp_of_another_process_obeys_and_is_missed() {
    undisturbed(|| {
        let Some(broker) = Mosquitto::start() else { return };
        let program = Program::of_readme("command_and_control", &[broker.address()]);
        for form in BOTH {
            let mut observer = Observer::start(broker.address(), "lamps/+/status");
            let mut lamp = program.clone().with(&["lamp", "porch"]).start_until("porch is ready");
            observer.wait_for("the lamp", |message| text(message) == "online");
            let command = program.clone().with(&["set", "30", "porch"]);
            assert_eq!(command.run(form).success(), "porch: brightness 30\n");
            lamp.kill();
            observer.wait_for("its will", |message| text(message) == "offline");
            let ran = command.run(form);
            assert!(!ran.success);
            assert_eq!(ran.stdout, "porch: there is no such lamp, or it is offline\n");
            assert_eq!(ran.stderr, "error: 1 of 1 lamps did not obey\n", "{form:?}");
        }
    });
}
