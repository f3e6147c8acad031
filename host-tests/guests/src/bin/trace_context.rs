//! Follows a trace from its beginning into the User Properties of a message and out of them again.

use host_tests_guests::mqtt::Error;
use host_tests_guests::trace::{TraceContext, new_trace, next_span, read_trace, write_trace};

fn main() -> Result<(), Error> {
    let root = new_trace(true);
    let (version, trace_id, parent_id, flags) = parts(&root);
    assert_eq!((version, flags, root.tracestate.as_str()), ("00", "01", ""));
    assert_eq!((trace_id.len(), parent_id.len()), (32, 16));
    assert_ne!(parts(&new_trace(true)).1, trace_id, "each trace has an identifier of its own");

    let vendor = TraceContext { tracestate: "vendor=1".to_owned(), ..root.clone() };
    let span = next_span(&vendor)?;
    assert_eq!(parts(&span).1, trace_id);
    assert_ne!(parts(&span).2, parent_id);
    assert_eq!(span.tracestate, "vendor=1");

    let plain = [("unit".to_owned(), "celsius".to_owned())];
    assert!(read_trace(&plain).is_none());
    let traced = write_trace(&plain, &span)?;
    assert_eq!(traced[0], plain[0], "what was there stays");
    let read = read_trace(&traced).expect("a trace context");
    assert_eq!((&read.traceparent, &read.tracestate), (&span.traceparent, &span.tracestate));

    let wrong = TraceContext { traceparent: "no trace".to_owned(), tracestate: String::new() };
    let error = next_span(&wrong).expect_err("that is none");
    println!("{}", error.message());
    Ok(())
}

/// Version, trace identifier, parent identifier, flags.
fn parts(context: &TraceContext) -> (&str, &str, &str, &str) {
    let parts: Vec<&str> = context.traceparent.split('-').collect();
    let [version, trace_id, parent_id, flags] = parts[..] else { panic!("{}", context.traceparent) };
    (version, trace_id, parent_id, flags)
}
