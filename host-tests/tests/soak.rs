//! What `cargo xtask soak` does for long, for a moment.

use host_tests::soak::{Effort, live};
use host_tests::timing::undisturbed;

#[test]
fn memory_and_handles_stay_what_they_were() {
    // Bytes that come late come together, and may need more room than all before.
    undisturbed(|| {
        let points = live(Effort { messages: 20_000, reconnects: 200, clients: 50, points: 10 }, |_| {});
        for phase in points.chunk_by(|one, next| one.what == next.what) {
            let (first, last) = (phase[0], phase[phase.len() - 1]);
            println!("{phase:?}");
            assert_eq!(phase.len(), 10, "{}", first.what);
            assert_eq!(last.handles, first.handles, "{}", first.what);
            assert_eq!(last.memory_bytes, first.memory_bytes, "{}", first.what);
        }
    });
}
