//! Brokers at Unix sockets: `unix:///path`, in both native clients, against a mosquitto.
#![cfg(unix)]

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use mqtt_wasi::{AsyncClient, Client, Error, Options, Publish, QoS, Reconnect, Subscription, TransportErrorKind};

/// A mosquitto at a socket in a folder of its own.
struct Mosquitto {
    process: Child,
    folder: PathBuf,
}

impl Mosquitto {
    fn start(name: &str) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("mqtt-wasi+{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the socket");
        let socket = folder.join("broker.sock");
        let configuration = folder.join("mosquitto.conf");
        // Started by root it would become another user, who may not write here.
        let text = format!("listener 0 {}\nallow_anonymous true\nlog_type error\nuser root\n", socket.display());
        std::fs::write(&configuration, text).expect("the folder is there");
        let mut start = ["mosquitto", "/usr/sbin/mosquitto"].into_iter();
        let process = start.find_map(|program| Command::new(program).arg("-c").arg(&configuration).spawn().ok());
        let Some(mut process) = process else {
            assert!(std::env::var_os("CI").is_none(), "mosquitto is not installed, and CI must not go without");
            println!("skipped: mosquitto is not installed");
            return None;
        };
        for _ in 0..3_000 {
            if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return Some(Self { process, folder });
            }
            assert!(process.try_wait().expect("a child").is_none(), "mosquitto has ended: its output says why");
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("mosquitto does not listen");
    }

    fn url(&self) -> String {
        format!("unix://{}/broker.sock", self.folder.display().to_string().replace('+', "%2B"))
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn blocking_client_publishes_receives_and_connects_again() {
    let Some(broker) = Mosquitto::start("blocking") else { return };
    let options = Options::new().client_id("c").session_expiry_interval(60);
    let mut client = Client::connect(&broker.url(), options).unwrap();
    client.subscribe(&[Subscription::new("a", QoS::ExactlyOnce)]).unwrap();
    let large = vec![b'x'; 1 << 20];
    for payload in [&b"1"[..], &large] {
        client.publish(&Publish::new("a", payload).qos(QoS::ExactlyOnce)).unwrap();
        let message = client.receive_timeout(Duration::from_secs(30)).unwrap().expect("it comes back");
        assert!(message.payload == payload);
    }
    assert!(client.receive_timeout(Duration::from_millis(50)).unwrap().is_none());
    assert!(client.reconnect().unwrap(), "the session is there");
    client.disconnect().unwrap();
}

#[tokio::test]
async fn async_client_publishes_and_receives() {
    let Some(broker) = Mosquitto::start("async") else { return };
    let client = AsyncClient::connect(&broker.url(), Options::new()).await.unwrap();
    let mut messages = client.listen(Subscription::new("a", QoS::ExactlyOnce)).await.unwrap();
    client.publish(&Publish::new("a", "1").qos(QoS::ExactlyOnce)).await.unwrap();
    assert_eq!(messages.receive().await.unwrap().payload, b"1");
    client.reconnect().await.unwrap();
    client.publish(&Publish::new("a", "2").qos(QoS::ExactlyOnce)).await.unwrap();
    assert_eq!(messages.receive().await.unwrap().payload, b"2");
    client.disconnect().await.unwrap();
}

#[tokio::test]
async fn path_without_a_broker_is_named() {
    let url = "unix:///there/is/no/broker.sock";
    for error in [
        Client::connect(url, Options::new()).unwrap_err(),
        AsyncClient::connect(url, Options::new()).await.unwrap_err(),
    ] {
        let Error::Transport(error) = error else { panic!("{error}") };
        assert_eq!(error.kind, TransportErrorKind::ConnectionRefused);
        assert!(error.message.starts_with("/there/is/no/broker.sock: "), "{error}");
    }
}

/// A broker that starts a little later is found by the policy, as any other.
#[test]
fn client_waits_for_the_socket_if_it_is_told_to() {
    let Some(broker) = Mosquitto::start("later") else { return };
    let (socket, away) = (broker.folder.join("broker.sock"), broker.folder.join("away"));
    std::fs::rename(&socket, &away).unwrap();
    let policy = Reconnect {
        first_connect: Some(Duration::from_secs(60)),
        first_delay: Duration::from_millis(50),
        ..Reconnect::default()
    };
    let comes = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        std::fs::rename(away, socket).unwrap();
    });
    Client::connect(&broker.url(), Options::new().reconnect(policy)).unwrap().disconnect().unwrap();
    comes.join().unwrap();
}
