//! Instances of the component share work by a shared subscription: each message comes to one of them, and each of them gets
//! some. `cargo xtask scale` does the same with more; `rabbitmq.rs` has queues.

use host_tests::broker::Embedded;
use host_tests::interop::Server;
use host_tests::scale::share_work;

const INSTANCES: usize = 4;
const JOBS: usize = 400;

#[test]
fn instances_share_work_at_mosquitto() {
    let Some(server) = Server::start("mosquitto-2.0") else { return };
    assert_shared(&server.url());
}

#[test]
fn instances_share_work_at_the_embedded_broker() {
    let embedded = Embedded::start().unwrap();
    assert_shared(&embedded.url());
}

fn assert_shared(url: &str) {
    let shares = share_work(url, INSTANCES, JOBS).unwrap();
    assert_eq!(shares.total(), JOBS, "{shares:?}");
    // A broker that takes turns gives each as much; one that draws lots gives none much less.
    assert!(shares.0.iter().all(|share| *share > JOBS / INSTANCES / 2), "{shares:?}");
}
