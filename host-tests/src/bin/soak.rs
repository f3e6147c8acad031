//! Prints what an instance of the component holds over a long life, as a curve: tab-separated, a line each point.

use host_tests::soak::{Effort, Point, live};

fn main() {
    println!("what\tdone\tbytes of memory\thandles");
    let effort = Effort { messages: 10_000_000, reconnects: 10_000, clients: 1_000, points: 20 };
    let points = live(effort, |_| eprint!("."));
    eprintln!();
    for Point { what, done, memory_bytes, handles } in points {
        println!("{what}\t{done}\t{memory_bytes}\t{handles}");
    }
}
