//! The dashboard shows what comes: in a terminal, which `script` provides, and on standard output.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use host_tests::broker::Mosquitto;
use host_tests::skipped;
use host_tests::timing::undisturbed;
use mqtt_wasi::{Publish, QoS};

use crate::form::{Form, Program};
use crate::observer::Observer;

/// How long the screen may take to show what it has to.
const PATIENCE: Duration = Duration::from_secs(60);

const SHOW_OTHER_SCREEN: &str = "\x1b[?1049h";
const LEAVE_OTHER_SCREEN: &str = "\x1b[?1049l";

/// What would change the title of a terminal, if it got there.
const HOSTILE: &str = "\x1b]0;taken over\x07";

/// A program in a terminal of 100 columns and 30 lines.
struct Terminal {
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn start(program: &Program) -> Option<Self> {
        let command = format!("stty cols 100 rows 30; exec {}", program.line());
        let child = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            assert!(std::env::var_os("CI").is_none(), "script is not installed, and CI must not go without");
            skipped("script, which makes a terminal, is not installed");
            return None;
        };
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        Some(Self { child, output, seen: String::new() })
    }

    /// Waits until all these words were drawn. What stays as it is, blanks included, is not drawn again.
    fn expect(&mut self, words: &[&str]) {
        let end = Instant::now() + PATIENCE;
        while !words.iter().all(|word| self.seen.contains(word)) {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("{words:?} is not in {:?}", self.seen),
            }
        }
    }

    fn press(&mut self, key: &str) {
        self.child.stdin.as_mut().unwrap().write_all(key.as_bytes()).unwrap();
    }

    /// Waits for its end, and returns all that was drawn, if it ended with success.
    fn finish(mut self) -> String {
        while let Ok(bytes) = self.output.recv_timeout(PATIENCE) {
            self.seen += &String::from_utf8_lossy(&bytes);
        }
        assert!(self.child.wait().unwrap().success(), "{:?}", self.seen);
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker that keeps a value, and one that no terminal should see.
fn broker() -> Option<(Mosquitto, Observer)> {
    let broker = Mosquitto::start()?;
    let mut observer = Observer::start(broker.address(), "none");
    for (topic, value) in [("plant/kitchen", "21.5 C"), ("plant/hostile", HOSTILE)] {
        observer.publish(&Publish::new(topic, value).qos(QoS::AtLeastOnce).retain(true));
    }
    Some((broker, observer))
}

#[test]
fn topics_are_shown_in_a_terminal_until_a_key_is_pressed() {
    let Some((mut broker, mut observer)) = broker() else { return };
    let Some(mut terminal) = Terminal::start(&Program::of_readme("dashboard", &[broker.address()])) else { return };
    terminal.expect(&[SHOW_OTHER_SCREEN, "plant/kitchen", "21.5"]);
    observer.publish(&Publish::new("zoo/gate", "open").qos(QoS::AtLeastOnce));
    terminal.expect(&["zoo/gate", "open"]);
    broker.stop();
    terminal.expect(&["disconnected"]);
    broker.start_again();
    terminal.expect(&["connected", "again"]);
    terminal.press("q");
    let seen = terminal.finish();
    assert!(seen.contains(LEAVE_OTHER_SCREEN), "{seen:?}");
    assert!(!seen.contains("\x1b]0;"), "what a message has for the terminal does not get there");
}

#[test]
fn ctrl_c_leaves_the_terminal_as_it_was() {
    let Some((broker, _observer)) = broker() else { return };
    let Some(mut terminal) = Terminal::start(&Program::of_readme("dashboard", &[broker.address()])) else { return };
    terminal.expect(&["plant/kitchen"]);
    terminal.press("\x03");
    assert!(terminal.finish().contains(LEAVE_OTHER_SCREEN));
}

#[test]
fn component_draws_to_standard_output() {
    undisturbed(|| {
        let Some((broker, _observer)) = broker() else { return };
        let drawn = Program::of_readme("dashboard", &[broker.address()]).with(&["3"]).run(Form::Component).success();
        for words in ["\x1b[2J", "plant/kitchen", "21.5"] {
            assert!(drawn.contains(words), "{words}: {drawn:?}");
        }
        assert!(!drawn.contains("\x1b]0;"), "{drawn:?}");
    });
}

#[test]
fn output_that_is_no_terminal_is_told() {
    let Some((broker, _observer)) = broker() else { return };
    let ran = Program::of_readme("dashboard", &[broker.address()]).run(Form::Native);
    assert!(!ran.success);
    assert_eq!(ran.stderr, "error: standard output is no terminal\n");
}
