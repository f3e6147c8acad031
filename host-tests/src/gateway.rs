//! A WebSocket server before a broker that speaks MQTT over TCP. It passes bytes on as they come, in frames that have
//! nothing to do with packets: random fragments, with Pings between them.

use std::net::{Shutdown, SocketAddr, TcpStream as StdStream};
use std::thread;
use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::broker::ANY_PORT;
use crate::proxy::Random;

/// How long the other side may take to close too.
const LINGER: Duration = Duration::from_secs(20);

/// As many bytes are passed on at once.
const AT_ONCE: usize = 16 * 1024;

/// A gateway, until it is dropped.
pub struct Gateway {
    address: SocketAddr,
    /// What it runs in, what takes clients, and what is disconnected once all of them are gone.
    running: Option<(Runtime, JoinHandle<()>, mpsc::Receiver<()>)>,
}

impl Gateway {
    /// Listens on loopback, at a port that the system chooses, for clients of the broker at `target`.
    ///
    /// # Panics
    /// When the system gives no port or no threads.
    #[must_use]
    pub fn start(target: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(ANY_PORT)).expect("a port of the loopback address");
        let address = listener.local_addr().expect("the port's number");
        let (passing, are_gone) = mpsc::channel(1);
        let accepting = runtime.spawn(async move {
            for seed in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                let passing = passing.clone();
                tokio::spawn(async move {
                    let _passing = passing;
                    pass(client, target, Random::new(seed)).await;
                });
            }
        });
        Self { address, running: Some((runtime, accepting, are_gone)) }
    }

    /// Its URL for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/mqtt", self.address)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let Some((runtime, accepting, mut are_gone)) = self.running.take() else { return };
        accepting.abort();
        // What a client said last is still on its way to the broker, and the test has no need to wait for it.
        thread::spawn(move || runtime.block_on(async { timeout(2 * LINGER, are_gone.recv()).await.map(drop) }));
    }
}

/// Passes bytes on between a client and the broker, as long as both sides last.
async fn pass(client: TcpStream, target: SocketAddr, random: Random) {
    let broker = TcpStream::connect(target).await;
    let _ = client.set_nodelay(true);
    let Ok(client) = client.into_std() else { return };
    let (Ok(handle), Ok(client)) = (client.try_clone(), TcpStream::from_std(client)) else { return };
    let is_up = broker.is_ok();
    #[expect(clippy::result_large_err, reason = "the library's own type")]
    let choose = |request: &Request, response| choose(request, response, is_up);
    let Ok(client) = accept_hdr_async(client, choose).await else {
        return;
    };
    let Ok(broker) = broker else { return };
    let _ = broker.set_nodelay(true);
    let (from_broker, to_broker) = broker.into_split();
    let (to_client, from_client) = client.split();
    let mut up = tokio::spawn(pass_up(from_client, to_broker));
    let mut down = tokio::spawn(pass_down(from_broker, to_client, handle, random));
    tokio::select! {
        _ = &mut up => {}
        _ = &mut down => {}
    }
    // What was said last is still on its way.
    let _ = timeout(LINGER, async {
        if !up.is_finished() {
            let _ = (&mut up).await;
        }
    })
    .await;
    let _ = timeout(LINGER, async {
        if !down.is_finished() {
            let _ = (&mut down).await;
        }
    })
    .await;
    up.abort();
    down.abort();
}

/// Takes a client that offers the subprotocol, while there is a broker.
#[allow(clippy::result_large_err, reason = "the signature is tungstenite's")]
fn choose(request: &Request, mut response: Response, is_up: bool) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get("Sec-WebSocket-Protocol").and_then(|value| value.to_str().ok());
    let status = match offered {
        _ if !is_up => StatusCode::BAD_GATEWAY,
        Some("mqtt") => {
            response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
            return Ok(response);
        }
        _ => StatusCode::BAD_REQUEST,
    };
    let mut refusal = ErrorResponse::new(None);
    *refusal.status_mut() = status;
    Err(refusal)
}

/// From the client to the broker, until either ends.
async fn pass_up(mut client: SplitStream<WebSocketStream<TcpStream>>, mut broker: OwnedWriteHalf) {
    while let Some(Ok(message)) = client.next().await {
        let is_passed = match message {
            Message::Binary(bytes) => broker.write_all(&bytes).await.is_ok(),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => true,
            Message::Text(_) | Message::Close(_) => false,
        };
        if !is_passed {
            break;
        }
    }
    let _ = broker.shutdown().await;
}

/// From the broker to the client, until either ends. Then the client's connection ends as the broker's has.
async fn pass_down(
    mut broker: OwnedReadHalf,
    mut client: SplitSink<WebSocketStream<TcpStream>, Message>,
    handle: StdStream,
    mut random: Random,
) {
    let mut bytes = vec![0; AT_ONCE];
    while let Ok(len @ 1..) = broker.read(&mut bytes).await {
        let mut rest = &bytes[..len];
        let mut opcode = OpCode::Data(Data::Binary);
        loop {
            // Mostly whole, and at times in many fragments.
            let most = if random.draw().is_multiple_of(4) { 7 } else { AT_ONCE };
            let (fragment, behind) = rest.split_at(rest.len().min(most));
            rest = behind;
            let frame = Frame::message(fragment.to_vec(), opcode, rest.is_empty());
            if client.feed(Message::Frame(frame)).await.is_err() {
                return;
            }
            if random.draw().is_multiple_of(8) && client.feed(Message::Ping(b"gateway".to_vec().into())).await.is_err()
            {
                return;
            }
            if rest.is_empty() {
                break;
            }
            opcode = OpCode::Data(Data::Continue);
        }
        if client.flush().await.is_err() {
            return;
        }
    }
    let _ = handle.shutdown(Shutdown::Write);
}
