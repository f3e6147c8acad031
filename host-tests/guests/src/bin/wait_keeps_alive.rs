//! Waits for two clients for longer than their Keep Alive.

use host_tests_guests::connect_with;
use host_tests_guests::mqtt::{Failure, wait};

fn main() -> Result<(), Failure> {
    let connect = || connect_with(|options| options.set_keep_alive_seconds(1));
    let (one, two) = (connect()?, connect()?);
    assert_eq!(wait(&[&one, &two], 2_500), []);
    one.disconnect(None)?;
    two.disconnect(None)
}
