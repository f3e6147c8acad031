//! Files that are no store, or no longer: each says what is wrong, and none crashes what opens it.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use mqtt_wasi::{Client, Error, FileStore, Options, Publish, QoS, StoreErrorKind};

use crate::Folder;

const URL: &str = "mqtt://127.0.0.1:1";

fn options(path: &Path) -> Result<Options, Error> {
    Ok(Options::new().client_id("c").session_expiry_interval(60).store(FileStore::open(path)?))
}

/// A store with this many messages that are accepted.
fn accept(path: &Path, messages: usize) {
    let mut client = Client::offline(URL, options(path).unwrap()).unwrap();
    for number in 0..messages {
        client.enqueue(&Publish::new("a", number.to_string().as_str()).qos(QoS::ExactlyOnce)).unwrap();
    }
}

/// How many messages a store has.
fn accepted(path: &Path) -> Result<usize, StoreErrorKind> {
    match options(path).and_then(|options| Client::offline(URL, options)) {
        Ok(client) => Ok(client.messages_in_flight().len()),
        Err(Error::Store(error)) => {
            assert!(error.to_string().starts_with("the store "), "{error}");
            Err(error.kind)
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn messages_without_a_connection_are_there_for_the_next_process() {
    let folder = Folder::new("offline");
    accept(&folder.store(), 3);
    assert_eq!(accepted(&folder.store()), Ok(3));
    accept(&folder.store(), 2);
    assert_eq!(accepted(&folder.store()), Ok(5));
}

#[test]
fn second_client_is_told_that_the_store_is_in_use() {
    let folder = Folder::new("in-use");
    let options = options(&folder.store()).unwrap();
    let client = Client::offline(URL, options.clone()).unwrap();
    assert_eq!(accepted(&folder.store()), Err(StoreErrorKind::InUse));
    let error = Client::offline(URL, options.clone()).unwrap_err();
    assert!(matches!(&error, Error::Store(error) if error.kind == StoreErrorKind::InUse), "{error}");
    drop(client);
    assert!(Client::offline(URL, options).is_ok(), "it is free again");
}

#[test]
fn store_of_another_client_is_refused() {
    let folder = Folder::new("other");
    accept(&folder.store(), 1);
    let other = options(&folder.store()).unwrap().client_id("d");
    let error = Client::offline(URL, other).unwrap_err();
    assert!(matches!(&error, Error::Store(error) if error.kind == StoreErrorKind::OtherClient), "{error}");
    assert_eq!(accepted(&folder.store()), Ok(1));
}

#[test]
fn something_else_than_a_store_is_refused_and_left_alone() {
    let folder = Folder::new("else");
    for content in [&b"a letter to a friend"[..], &[0; 4096], &[0xFF; 70_000]] {
        fs::write(folder.store(), content).unwrap();
        assert_eq!(accepted(&folder.store()), Err(StoreErrorKind::Torn));
        assert_eq!(fs::read(folder.store()).unwrap(), content);
    }
}

#[test]
fn damaged_stores_give_an_error_or_all_that_they_had() {
    let folder = Folder::new("damaged");
    accept(&folder.store(), 20);
    let whole = fs::read(folder.store()).unwrap();
    let (mut refused, mut read) = (0, 0);
    let mut check = |bytes: &[u8], what: &str| {
        fs::write(folder.store(), bytes).unwrap();
        match accepted(&folder.store()) {
            // A part that nothing depends on.
            Ok(20) => return read += 1,
            Ok(messages) => panic!("{what}: {messages} of 20 messages, and no error"),
            Err(StoreErrorKind::Torn | StoreErrorKind::Version) => refused += 1,
            Err(kind) => panic!("{what}: {kind:?}"),
        }
        assert!(fs::read(folder.store()).unwrap() == bytes, "{what}: what is left of it stays as it is");
    };
    for len in (1..whole.len()).step_by(whole.len() / 24) {
        check(&whole[..len], &format!("cut at {len}"));
    }
    for place in (0..whole.len()).step_by(whole.len() / 199) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        check(&bytes, &format!("changed at {place}"));
    }
    assert!(refused > 0 && read > 0, "{refused} were refused, {read} were read");
}

/// Both headers of the file say so. Which one counts is said elsewhere in it.
#[test]
fn file_of_another_version_is_refused_and_left_alone() {
    const VERSIONS: [usize; 2] = [64, 192];
    let folder = Folder::new("version");
    accept(&folder.store(), 3);
    let ours = fs::read(folder.store()).unwrap();
    for version in [1, 4, 0xFF] {
        let mut other = ours.clone();
        VERSIONS.iter().for_each(|&place| other[place] = version);
        fs::write(folder.store(), &other).unwrap();
        assert_eq!(accepted(&folder.store()), Err(StoreErrorKind::Version), "{version}");
        assert!(fs::read(folder.store()).unwrap() == other, "{version}: it stays as it is");
    }
    fs::write(folder.store(), ours).unwrap();
    assert_eq!(accepted(&folder.store()), Ok(3));
}

/// Who may write everything is somebody else for this: a process that has nothing but its own.
#[cfg(unix)]
#[test]
fn store_that_must_not_be_written_says_so_and_keeps_what_it_has() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    const VARIABLE: &str = "MQTT_WASI_MUST_NOT_WRITE";
    const NOBODY: u32 = 65_534;
    if let Some(path) = std::env::var_os(VARIABLE) {
        assert_eq!(accepted(Path::new(&path)), Err(StoreErrorKind::ReadOnly));
        return;
    }
    let folder = Folder::new("read-only");
    accept(&folder.store(), 3);
    let may = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    may(folder.path(), 0o555);
    may(&folder.store(), 0o444);
    if File::options().append(true).open(folder.store()).is_err() {
        assert_eq!(accepted(&folder.store()), Err(StoreErrorKind::ReadOnly));
    } else {
        // The program itself may lie where nobody else gets to.
        let program = folder.path().join("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let test = "damaged::store_that_must_not_be_written_says_so_and_keeps_what_it_has";
        let mut command = Command::new(program);
        command.args(["--exact", test, "--nocapture"]).env(VARIABLE, folder.store()).current_dir("/");
        let output = command.gid(NOBODY).uid(NOBODY).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    may(folder.path(), 0o755);
    may(&folder.store(), 0o644);
    assert_eq!(accepted(&folder.store()), Ok(3), "once it may be written everything is there");
}

/// `/sys` has files that not even root may write.
#[cfg(target_os = "linux")]
#[test]
fn file_that_must_not_be_written_is_said_to_be() {
    assert_eq!(accepted(Path::new("/sys/kernel/uevent_seqnum")), Err(StoreErrorKind::ReadOnly));
}

/// The system lets a process write files up to a size alone; then the store is full, and has what it had.
#[cfg(unix)]
#[test]
fn full_store_says_so_and_keeps_what_it_has() {
    const VARIABLE: &str = "MQTT_WASI_TO_BE_FULL";
    const ENOUGH: usize = 100_000;
    if let Some(path) = std::env::var_os(VARIABLE) {
        return fill(Path::new(&path), ENOUGH);
    }
    let folder = Folder::new("full");
    let count = folder.path().join("count");
    accept(&folder.store(), 1);
    // Twice what it has, in blocks of 512 bytes; the signal that says so is not taken.
    let blocks = fs::metadata(folder.store()).unwrap().len() * 2 / 512;
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let test = "damaged::full_store_says_so_and_keeps_what_it_has";
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(VARIABLE, folder.store())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let taken: usize = fs::read_to_string(count).unwrap().parse().unwrap();
    assert!((1..ENOUGH).contains(&taken), "{taken}");
    assert_eq!(accepted(&folder.store()), Ok(1 + taken), "with more space everything is there");
}

#[cfg(unix)]
fn fill(path: &Path, enough: usize) {
    let options = options(path).unwrap().in_flight_limit(u16::MAX).outbound_limit(1 << 30);
    let mut client = Client::offline(URL, options).unwrap();
    for taken in 0..enough {
        let result = client.enqueue(&Publish::new("a", [b'x'; 10_000].as_slice()).qos(QoS::AtLeastOnce));
        if let Err(error) = result {
            assert!(matches!(&error, Error::Store(error) if error.kind == StoreErrorKind::Full), "{error}");
            assert_eq!(client.messages_in_flight().len(), 1 + taken, "the last one is not in flight");
            return fs::write(path.with_file_name("count"), taken.to_string()).unwrap();
        }
    }
    panic!("it took {enough} messages");
}
