//! Follows a trace from its beginning into the User Properties of a message and out of them again.

use host_tests_guests::mqtt::Property;
use host_tests_guests::trace::{TraceContext, new_trace, next_span, read_trace, write_trace};

fn main() {
    let root = new_trace(true);
    let (version, trace_id, parent_id, flags) = parts(&root);
    assert_eq!((version, flags, root.tracestate.as_str()), ("00", "01", ""));
    assert_eq!((trace_id.len(), parent_id.len()), (32, 16));
    assert_ne!(parts(&new_trace(true)).1, trace_id, "each trace has an identifier of its own");

    let vendor = TraceContext { tracestate: "vendor=1".to_owned(), ..root.clone() };
    let span = next_span(&vendor).expect("a valid context");
    assert_eq!(parts(&span).1, trace_id);
    assert_ne!(parts(&span).2, parent_id);
    assert_eq!(span.tracestate, "vendor=1");

    let plain = [Property::UserProperty(("unit".to_owned(), "celsius".to_owned()))];
    assert!(read_trace(&plain).is_none());
    let traced = write_trace(&plain, &span).expect("a valid context");
    assert!(matches!(&traced[0], Property::UserProperty((name, _)) if name == "unit"), "what was there stays");
    assert_eq!(write_trace(&traced, &span).map(|again| again.len()), Some(traced.len()), "in place of the other");
    let read = read_trace(&traced).expect("a trace context");
    assert_eq!((&read.traceparent, &read.tracestate), (&span.traceparent, &span.tracestate));

    let wrong = TraceContext { traceparent: "no trace".to_owned(), tracestate: String::new() };
    assert!(next_span(&wrong).is_none() && write_trace(&plain, &wrong).is_none());
    println!("{}", span.traceparent);
}

/// Version, trace identifier, parent identifier, flags.
fn parts(context: &TraceContext) -> (&str, &str, &str, &str) {
    let parts: Vec<&str> = context.traceparent.split('-').collect();
    let [version, trace_id, parent_id, flags] = parts[..] else { panic!("{}", context.traceparent) };
    (version, trace_id, parent_id, flags)
}
