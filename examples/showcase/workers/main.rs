//! Work that is shared among any number of workers, and lost with none of them. Without a role, three workers and their
//! boss are in this process.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use mqtt_wasi::{
    AsyncClient, AsyncMessages, Error as MqttError, Message, Options, Publish, QoS, Reconnect, Subscription,
};
use tokio::time::{sleep, timeout};

/// Each job goes to one of those who subscribe to this: `workers` is the name of their group.
const JOBS: &str = "$share/workers/jobs/+";

/// After so long without a result, the boss hands out again what is missing.
const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => all("mqtt://localhost").await,
        [url] => all(url).await,
        [url, "work", name] => match Worker::hire(url, name).await?.work().await? {},
        [url, "boss", jobs] => Ok(boss(url, jobs.parse()?).await?),
        _ => Err("use: workers [URL [work NAME | boss JOBS]]".into()),
    }
}

async fn all(url: &str) -> Result<(), Box<dyn Error>> {
    let [ada, bob, cleo] = [Worker::hire(url, "ada"), Worker::hire(url, "bob"), Worker::hire(url, "cleo")];
    let (ada, bob, cleo) = tokio::try_join!(ada, bob, cleo)?;
    tokio::select! {
        done = boss(url, 12) => Ok(done?),
        failed = async { tokio::try_join!(ada.work(), bob.work(), cleo.work()) } => {
            failed?;
            Ok(())
        }
    }
}

struct Worker {
    name: String,
    client: AsyncClient,
    jobs: AsyncMessages,
}

impl Worker {
    async fn hire(url: &str, name: &str) -> Result<Self, MqttError> {
        let options = Options::new().client_id(format!("worker-{name}")).reconnect(Reconnect::default());
        let client = AsyncClient::connect(url, options).await?;
        let jobs = client.listen(Subscription::new(JOBS, QoS::AtLeastOnce)).await?;
        println!("{name} is ready");
        Ok(Self { name: name.into(), client, jobs })
    }

    /// Does one job after the other, until the connection is over for good.
    async fn work(mut self) -> Result<Infallible, MqttError> {
        loop {
            let (job, delivery) = self.jobs.receive_unacknowledged().await?;
            let result = format!("{}: {}", self.name, solve(&job).await);
            let topic = job.topic.replacen("jobs/", "results/", 1);
            self.client.publish(&Publish::new(&topic, &result).qos(QoS::AtLeastOnce)).await?;
            // Only now. Had the worker died before, the job would be done again.
            delivery.map(|delivery| self.client.acknowledge(delivery));
        }
    }
}

/// Takes a while, as work does.
async fn solve(job: &Message) -> String {
    sleep(Duration::from_millis(100)).await;
    match String::from_utf8_lossy(&job.payload).parse::<u64>() {
        Ok(number) => format!("{number} squared is {}", u128::from(number).pow(2)),
        Err(error) => format!("no number: {error}"),
    }
}

/// Hands out jobs, and waits for all results.
async fn boss(url: &str, jobs: u64) -> Result<(), MqttError> {
    let client = AsyncClient::connect(url, Options::new().reconnect(Reconnect::default())).await?;
    let mut results = client.listen(Subscription::new("results/+", QoS::AtLeastOnce)).await?;
    let mut open: BTreeMap<String, String> =
        (1..=jobs).map(|job| (format!("results/{job}"), job.to_string())).collect();
    while !open.is_empty() {
        hand_out(&client, &open).await?;
        while let Ok(result) = timeout(PATIENCE, results.receive()).await {
            let result = result?;
            // A job that was handed out again may be done twice.
            if open.remove(&result.topic).is_some() {
                println!("{}", String::from_utf8_lossy(&result.payload));
            }
            if open.is_empty() {
                break;
            }
        }
    }
    println!("{jobs} jobs are done");
    client.disconnect().await
}

async fn hand_out(client: &AsyncClient, open: &BTreeMap<String, String>) -> Result<(), MqttError> {
    let topics: Vec<_> = open.keys().map(|result| result.replacen("results/", "jobs/", 1)).collect();
    let jobs = topics.iter().zip(open.values()).map(|(topic, job)| Publish::new(topic, job).qos(QoS::AtLeastOnce));
    for answer in client.publish_all(jobs).await {
        answer?;
    }
    Ok(())
}
