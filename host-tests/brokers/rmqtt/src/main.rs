//! A small MQTT server over the crates of rmqtt: one node, or one of a Raft cluster.
//!
//! `rmqtt-server FOLDER MQTT_ADDRESS [ID GRPC_ADDRESS,.. RAFT_ADDRESS,..]`, with the addresses of all nodes in the order
//! of their identifiers, which count from 1. It says `running` on standard error when it listens.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::num::NonZeroU16;

use anyhow::{Context as _, Result, ensure};
use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::server::MqttServer;

/// What a user would set who wants no message dropped: the defaults are 16, 1,000 and none.
const IN_FLIGHT: NonZeroU16 = NonZeroU16::new(100).unwrap();
const QUEUED_MESSAGES: usize = 100_000;
const TOPIC_ALIASES: u16 = 32;

/// The largest packet, in bytes; its own default is 1 MiB.
const PACKET_BYTES: u32 = 16 * 1024 * 1024;

/// A node of a cluster.
struct Member {
    id: u64,
    grpc: Vec<SocketAddr>,
    raft: Vec<SocketAddr>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, address, member @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: rmqtt-server FOLDER MQTT_ADDRESS [ID GRPC_ADDRESS,.. RAFT_ADDRESS,..]");
    };
    let member = Member::parse(member)?;
    let server = serve(folder, address.parse().context("the address for MQTT")?, member.as_ref()).await?;
    server.start();
    eprintln!("running");
    tokio::signal::ctrl_c().await?;
    Ok(())
}

impl Member {
    fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let (id, grpc, raft) = match arguments {
            [] => return Ok(None),
            [id, grpc, raft] => (id.parse()?, addresses(grpc)?, addresses(raft)?),
            _ => anyhow::bail!("a node of a cluster needs its identifier and the addresses of all for gRPC and for Raft"),
        };
        ensure!(grpc.len() == raft.len() && (1..=grpc.len() as u64).contains(&id), "node {id} has no addresses");
        Ok(Some(Self { id, grpc, raft }))
    }

    /// This node's own among addresses of all.
    fn own(&self, addresses: &[SocketAddr]) -> SocketAddr {
        addresses[self.id as usize - 1]
    }

    /// The configuration of the plugin, in TOML. Without a leader that is named, nodes that start at once would each
    /// find none, and lead clusters of their own.
    fn settings(&self) -> String {
        format!(
            "node_grpc_addrs = {:?}\nraft_peer_addrs = {:?}\nladdr = \"{}\"\nleader_id = 1\n",
            numbered(&self.grpc),
            numbered(&self.raft),
            self.own(&self.raft)
        )
    }
}

async fn serve(folder: &str, address: SocketAddr, member: Option<&Member>) -> Result<MqttServer> {
    let id = member.map_or(1, |member| member.id);
    let mut context = ServerContext::new()
        .node_id(id)
        .plugins_config_map_add("rmqtt-retainer", stored(folder, "retained"))
        .plugins_config_map_add("rmqtt-session-storage", stored(folder, "sessions"));
    if let Some(member) = member {
        context = context.plugins_config_map_add("rmqtt-cluster-raft", member.settings());
    }
    let context = context.build().await;
    if let Some(member) = member {
        context.node.start_grpc_server(context.clone(), member.own(&member.grpc), true, false);
    }
    rmqtt_retainer::register(&context, true, false).await?;
    rmqtt_session_storage::register(&context, true, false).await?;
    if member.is_some() {
        rmqtt_cluster_raft::register(&context, true, false).await?;
    }
    let listener = Builder::new()
        .name("tcp")
        .laddr(address)
        .reuseaddr(Some(true))
        .nodelay(true)
        .max_packet_size(PACKET_BYTES)
        .max_inflight(IN_FLIGHT)
        .max_mqueue_len(QUEUED_MESSAGES)
        .max_topic_aliases(TOPIC_ALIASES)
        .bind()?
        .tcp()?;
    Ok(MqttServer::new(context).listener(listener).build())
}

/// The configuration of a plugin that stores what it has in this folder, in TOML.
fn stored(folder: &str, name: &str) -> String {
    format!("[storage]\ntype = \"sled\"\n[storage.sled]\npath = \"{folder}/{name}\"\ncache_capacity = \"64M\"\n")
}

fn addresses(list: &str) -> Result<Vec<SocketAddr>> {
    list.split(',').map(|address| address.parse().with_context(|| format!("{address} is no address"))).collect()
}

/// Addresses as the plugin names them.
fn numbered(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().zip(1..).map(|(address, id)| format!("{id}@{address}")).collect()
}
