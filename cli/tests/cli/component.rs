//! What is special about the component: what it asks of its host, and one thread for input and connection.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use host_tests::runtime::Permissions;
use host_tests::scripted::Scripted;
use host_tests::timing::undisturbed;

use crate::form::{component, finish, native, words};

const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Pings the broker while nothing comes from standard input, and leaves when that ends.
fn pings() -> Scripted {
    Scripted::start(|broker| {
        let pings = broker.accept_client().answer_pings(KEEP_ALIVE);
        assert!(pings >= 2, "{pings} pings");
    })
}

#[test]
fn connection_is_kept_while_no_line_comes() {
    undisturbed(|| {
        // Compiling it takes longer than the silence.
        let component = component();
        let broker = pings();
        let line = format!("pub -L {} -t t -l -k 1", broker.url());
        let (writer, reader) = tokio::io::duplex(64);
        let silence = thread::spawn(move || {
            thread::sleep(KEEP_ALIVE * 3);
            drop(writer);
        });
        let output = component.run_fed(&words(&line), &Permissions::to(broker.address()), reader).unwrap();
        assert!(output.success, "{}", output.stderr);
        silence.join().unwrap();
        broker.finish();

        let broker = pings();
        let line = format!("pub -L {} -t t -l -k 1", broker.url());
        let mut child = native()
            .args(words(&line))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        thread::sleep(KEEP_ALIVE * 3);
        drop(stdin);
        finish(child, b"").success();
        broker.finish();
    });
}

#[test]
fn host_that_allows_no_network_is_told() {
    let output = component().run(&["info", "-h", "127.0.0.1"], &Permissions::default()).unwrap();
    assert!(!output.success);
    assert!(output.stderr.contains("may not use the network"), "{}", output.stderr);
}

#[test]
fn help_is_the_same_in_both_forms() {
    let ours = native().args(["help", "sub"]).output().unwrap();
    let output = component().run(&["help", "sub"], &Permissions::default()).unwrap();
    assert!(output.stdout.contains("Usage: mqtt sub"), "{}", output.stdout);
    assert_eq!(output.stdout, String::from_utf8(ours.stdout).unwrap());
}
