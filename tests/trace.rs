//! Trace Context against the cases of the specification's own test suite (<https://github.com/w3c/trace-context>,
//! `test/test.py`), and the promises of [`TraceContext`].

use mqtt_wasi::{TraceContext, TraceError};

/// The trace-id and `traceparent` that the suite's cases have wherever they do not vary them.
const TRACE_ID: &str = "12345678901234567890123456789012";
const SAMPLED: (&str, &str) = ("traceparent", "00-12345678901234567890123456789012-1234567890123456-01");
const NOT_SAMPLED: (&str, &str) = ("traceparent", "00-12345678901234567890123456789012-1234567890123456-00");

/// The suite's name of a case, the properties that come in, and the trace-id and `tracestate` that come out: `None`
/// where the suite wants a new trace.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<(&'a str, &'a str)>);

#[test]
fn traceparent_is_read_as_the_official_suite_expects() {
    let same = Some((TRACE_ID, ""));
    check(&[
        ("both_traceparent_and_tracestate_missing", &[], None),
        ("traceparent_included_tracestate_missing", &[SAMPLED], same),
        (
            "traceparent_duplicated",
            &[("traceparent", "00-12345678901234567890123456789011-1234567890123456-01"), SAMPLED],
            None,
        ),
        ("traceparent_header_name", &[("trace-parent", SAMPLED.1)], None),
        ("traceparent_header_name", &[("trace.parent", SAMPLED.1)], None),
        ("traceparent_header_name_valid_casing", &[("TraceParent", SAMPLED.1)], same),
        ("traceparent_header_name_valid_casing", &[("TrAcEpArEnT", SAMPLED.1)], same),
        ("traceparent_header_name_valid_casing", &[("TRACEPARENT", SAMPLED.1)], same),
    ]);
    for (name, value, is_same) in [
        ("version_0x00", "00-12345678901234567890123456789012-1234567890123456-01.", false),
        ("version_0x00", "00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like", false),
        ("version_0xcc", "cc-12345678901234567890123456789012-1234567890123456-01", true),
        ("version_0xcc", "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like", true),
        ("version_0xcc", "cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like", false),
        ("version_0xff", "ff-12345678901234567890123456789012-1234567890123456-01", false),
        ("version_illegal_characters", ".0-12345678901234567890123456789012-1234567890123456-01", false),
        ("version_illegal_characters", "0.-12345678901234567890123456789012-1234567890123456-01", false),
        ("version_too_long", "000-12345678901234567890123456789012-1234567890123456-01", false),
        ("version_too_long", "0000-12345678901234567890123456789012-1234567890123456-01", false),
        ("version_too_short", "0-12345678901234567890123456789012-1234567890123456-01", false),
        ("trace_id_all_zero", "00-00000000000000000000000000000000-1234567890123456-01", false),
        ("trace_id_illegal_characters", "00-.2345678901234567890123456789012-1234567890123456-01", false),
        ("trace_id_illegal_characters", "00-1234567890123456789012345678901.-1234567890123456-01", false),
        ("trace_id_too_long", "00-123456789012345678901234567890123-1234567890123456-01", false),
        ("trace_id_too_short", "00-1234567890123456789012345678901-1234567890123456-01", false),
        ("parent_id_all_zero", "00-12345678901234567890123456789012-0000000000000000-01", false),
        ("parent_id_illegal_characters", "00-12345678901234567890123456789012-.234567890123456-01", false),
        ("parent_id_illegal_characters", "00-12345678901234567890123456789012-123456789012345.-01", false),
        ("parent_id_too_long", "00-12345678901234567890123456789012-12345678901234567-01", false),
        ("parent_id_too_short", "00-12345678901234567890123456789012-123456789012345-01", false),
        ("trace_flags_illegal_characters", "00-12345678901234567890123456789012-1234567890123456-.0", false),
        ("trace_flags_illegal_characters", "00-12345678901234567890123456789012-1234567890123456-0.", false),
        ("trace_flags_too_long", "00-12345678901234567890123456789012-1234567890123456-001", false),
        ("trace_flags_too_short", "00-12345678901234567890123456789012-1234567890123456-1", false),
        ("ows_handling", " 00-12345678901234567890123456789012-1234567890123456-01", true),
        ("ows_handling", "\t00-12345678901234567890123456789012-1234567890123456-01", true),
        ("ows_handling", "00-12345678901234567890123456789012-1234567890123456-01 ", true),
        ("ows_handling", "00-12345678901234567890123456789012-1234567890123456-01\t", true),
        ("ows_handling", "\t 00-12345678901234567890123456789012-1234567890123456-01 \t", true),
    ] {
        check(&[(&format!("traceparent_{name}"), &[("traceparent", value)], same.filter(|_| is_same))]);
    }
}

#[test]
fn tracestate_is_read_as_the_official_suite_expects() {
    // Every character that a key may have, and every one that a value may have.
    const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let value: String = (' '..='~').filter(|c| !matches!(c, ',' | '=')).collect();
    let all_allowed = format!("{KEY}={value}");
    let all_allowed_with_vendor = format!("{KEY}@a-z0-9_-*/={value}");

    check(&[
        ("tracestate_included_traceparent_missing", &[("tracestate", "foo=1")], None),
        ("tracestate_included_traceparent_missing", &[("tracestate", "foo=1,bar=2")], None),
    ]);
    for (name, properties, tracestate) in [
        ("included_traceparent_included", &[("tracestate", "foo=1,bar=2")][..], "foo=1,bar=2"),
        ("header_name", &[("trace-state", "foo=1")], ""),
        ("header_name", &[("trace.state", "foo=1")], ""),
        ("header_name_valid_casing", &[("TraceState", "foo=1")], "foo=1"),
        ("header_name_valid_casing", &[("TrAcEsTaTe", "foo=1")], "foo=1"),
        ("header_name_valid_casing", &[("TRACESTATE", "foo=1")], "foo=1"),
        ("empty_header", &[("tracestate", "")], ""),
        ("empty_header", &[("tracestate", "foo=1"), ("tracestate", "")], "foo=1"),
        ("empty_header", &[("tracestate", ""), ("tracestate", "foo=1")], "foo=1"),
        (
            "multiple_headers_different_keys",
            &[("tracestate", "foo=1,bar=2"), ("tracestate", "rojo=1,congo=2"), ("tracestate", "baz=3")],
            "foo=1,bar=2,rojo=1,congo=2,baz=3",
        ),
        ("duplicated_keys", &[("tracestate", "foo=1,foo=1")], ""),
        ("duplicated_keys", &[("tracestate", "foo=1,foo=2")], ""),
        ("duplicated_keys", &[("tracestate", "foo=1"), ("tracestate", "foo=1")], ""),
        ("duplicated_keys", &[("tracestate", "foo=1"), ("tracestate", "foo=2")], ""),
        ("all_allowed_characters", &[("tracestate", &all_allowed)], &all_allowed),
        ("all_allowed_characters", &[("tracestate", &all_allowed_with_vendor)], &all_allowed_with_vendor),
        ("ows_handling", &[("tracestate", "foo=1 \t , \t bar=2, \t baz=3")], "foo=1,bar=2,baz=3"),
        ("ows_handling", &[("tracestate", "foo=1\t \t,\t \tbar=2,\t \tbaz=3")], "foo=1,bar=2,baz=3"),
        ("ows_handling", &[("tracestate", " foo=1")], "foo=1"),
        ("ows_handling", &[("tracestate", "\tfoo=1")], "foo=1"),
        ("ows_handling", &[("tracestate", "foo=1 ")], "foo=1"),
        ("ows_handling", &[("tracestate", "foo=1\t")], "foo=1"),
        ("ows_handling", &[("tracestate", "\t foo=1 \t")], "foo=1"),
        ("key_illegal_characters", &[("tracestate", "foo =1")], ""),
        ("key_illegal_characters", &[("tracestate", "FOO=1")], ""),
        ("key_illegal_characters", &[("tracestate", "foo.bar=1")], ""),
        ("key_illegal_vendor_format", &[("tracestate", "foo@=1,bar=2")], ""),
        ("key_illegal_vendor_format", &[("tracestate", "@foo=1,bar=2")], ""),
        ("key_illegal_vendor_format", &[("tracestate", "foo@@bar=1,bar=2")], ""),
        ("key_illegal_vendor_format", &[("tracestate", "foo@bar@baz=1,bar=2")], ""),
        ("value_illegal_characters", &[("tracestate", "foo=bar=baz")], ""),
        ("value_illegal_characters", &[("tracestate", "foo=,bar=3")], ""),
    ] {
        let properties = [&[NOT_SAMPLED], properties].concat();
        check(&[(&format!("tracestate_{name}"), &properties, Some((TRACE_ID, tracestate)))]);
    }
}

#[test]
fn tracestate_is_limited_as_the_official_suite_expects() {
    let bars = |from: u32, to: u32| -> String {
        (from..=to).map(|number| format!("bar{number:02}={number:02}")).collect::<Vec<_>>().join(",")
    };
    for (last, tracestate) in [(32, bars(1, 32)), (33, String::new())] {
        let lists = [bars(1, 10), bars(11, 20), bars(21, 30), bars(31, last)];
        let mut properties = vec![NOT_SAMPLED];
        properties.extend(lists.iter().map(|list| ("tracestate", list.as_str())));
        check(&[("tracestate_member_count_limit", &properties, Some((TRACE_ID, &tracestate)))]);
    }
    for (key, is_kept) in [
        ("z".repeat(256), true),
        ("z".repeat(257), false),
        (format!("{}@{}", "t".repeat(241), "v".repeat(14)), true),
        (format!("{}@v", "t".repeat(242)), false),
        (format!("t@{}", "v".repeat(15)), false),
    ] {
        let entry = format!("{key}=1");
        let tracestate = if is_kept { format!("foo=1,{entry}") } else { String::new() };
        let properties = [NOT_SAMPLED, ("tracestate", "foo=1"), ("tracestate", &entry)];
        check(&[("tracestate_key_length_limit", &properties, Some((TRACE_ID, &tracestate)))]);
    }
}

/// What the suite's `AdvancedTest` asks for: every message of a trace has its trace-id and a parent-id of its own.
#[test]
fn children_share_the_trace_and_differ_in_parent_id() {
    let received = TraceContext::from_properties([SAMPLED, ("tracestate", "foo=1")]).unwrap();
    let children = [received.child([1; 8]), received.child([2; 8]), received.child([3; 8])];
    for (index, child) in children.iter().enumerate() {
        assert_eq!(child.trace_id(), received.trace_id(), "child {index}");
        assert_eq!(child.parent_id(), [index as u8 + 1; 8], "child {index}");
        assert_eq!(child.tracestate(), "foo=1", "child {index}");
        assert!(child.is_sampled(), "child {index}");
    }
}

#[test]
fn no_randomness_makes_an_all_zero_id() {
    let mut zero_trace_id = [0; 24];
    zero_trace_id[23] = 9;
    let mut zero_parent_id = [0; 24];
    zero_parent_id[0] = 9;
    for random in [[0; 24], zero_trace_id, zero_parent_id, [0xff; 24]] {
        for context in [TraceContext::new_root(random, false), TraceContext::new_root(random, true).child([0; 8])] {
            assert_ne!(context.trace_id(), [0; 16], "{random:?}");
            assert_ne!(context.parent_id(), [0; 8], "{random:?}");
            assert_eq!(TraceContext::parse(&context.traceparent(), ""), Ok(context), "{random:?}");
        }
    }
}

#[test]
fn a_root_takes_its_ids_from_the_random_bytes() {
    let root = TraceContext::new_root(std::array::from_fn(|index| index as u8), false);
    assert_eq!(root.traceparent(), "00-000102030405060708090a0b0c0d0e0f-1011121314151617-00");
    assert_eq!(root.tracestate(), "");
    assert!(!root.is_sampled());
    assert!(TraceContext::new_root([1; 24], true).is_sampled());
}

#[test]
fn what_is_written_is_read_back() {
    for context in [
        TraceContext::new_root([0xa5; 24], true),
        TraceContext::new_root([0xa5; 24], false).with_entry("fw529a3039@dt", " a <b> ~").unwrap(),
        TraceContext::parse(SAMPLED.1, ", foo=1 ,,bar= 2,").unwrap(),
    ] {
        assert_eq!(context.traceparent().len(), 55);
        assert_eq!(TraceContext::parse(&context.traceparent(), context.tracestate()), Ok(context.clone()));

        let mut properties = Vec::new();
        context.inject(&mut properties);
        assert_eq!(TraceContext::from_properties(borrowed(&properties)), Some(context));
    }
}

#[test]
fn unknown_flags_are_passed_on_but_not_inherited() {
    let unknown = "00-12345678901234567890123456789012-1234567890123456-ff";
    let context = TraceContext::parse(unknown, "").unwrap();
    assert!(context.is_sampled());
    assert_eq!(context.traceparent(), unknown);
    assert_eq!(context.child([1; 8]).traceparent(), "00-12345678901234567890123456789012-0101010101010101-01");
}

#[test]
fn a_later_version_is_written_as_version_00_with_the_sampled_flag_alone() {
    for (flags, expected) in [("ff", "01"), ("fe", "00")] {
        let later = format!("01-12345678901234567890123456789012-1234567890123456-{flags}-more");
        let context = TraceContext::parse(&later, "foo=1").unwrap();
        assert_eq!(
            context.traceparent(),
            format!("00-12345678901234567890123456789012-1234567890123456-{expected}"),
            "flags {flags}"
        );
        assert_eq!(context.tracestate(), "foo=1", "flags {flags}");
    }
}

#[test]
fn a_refused_traceparent_says_which_rule_it_breaks() {
    for (traceparent, error) in [
        ("", TraceError::Format),
        ("00-12345678901234567890123456789012-1234567890123456-0", TraceError::Format),
        ("00-12345678901234567890123456789012-1234567890123456-01-", TraceError::Format),
        ("01-12345678901234567890123456789012-1234567890123456-01x", TraceError::Format),
        ("00_12345678901234567890123456789012-1234567890123456-01", TraceError::Format),
        ("00-12345678901234567890123456789012_1234567890123456-01", TraceError::Format),
        ("00-12345678901234567890123456789012-1234567890123456_01", TraceError::Format),
        ("\n00-12345678901234567890123456789012-1234567890123456-01", TraceError::Format),
        ("ff-12345678901234567890123456789012-1234567890123456-01", TraceError::Version),
        ("FF-12345678901234567890123456789012-1234567890123456-01", TraceError::HexDigit),
        ("00-A2345678901234567890123456789012-1234567890123456-01", TraceError::HexDigit),
        ("00-ü345678901234567890123456789012-1234567890123456-01", TraceError::HexDigit),
        ("00-12345678901234567890123456789012-A234567890123456-01", TraceError::HexDigit),
        ("00-12345678901234567890123456789012-1234567890123456-0A", TraceError::HexDigit),
        ("00-+2345678901234567890123456789012-1234567890123456-01", TraceError::HexDigit),
        ("00-00000000000000000000000000000000-1234567890123456-01", TraceError::TraceId),
        ("00-12345678901234567890123456789012-0000000000000000-01", TraceError::ParentId),
    ] {
        assert_eq!(TraceContext::parse(traceparent, "foo=1"), Err(error), "{traceparent:?}");
    }
}

#[test]
fn inject_replaces_a_context_and_keeps_other_properties_in_order() {
    let mut properties: Vec<(String, String)> = [
        ("b", "1"),
        ("traceparent", "old"),
        ("TraceParent", "older"),
        ("a", "2"),
        ("TRACESTATE", "old=1"),
        ("b", "3"),
        ("tracestate", "old=2"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into();
    let context = TraceContext::parse(SAMPLED.1, "foo=1").unwrap();
    for injection in ["first", "second"] {
        context.inject(&mut properties);
        let expected = [("b", "1"), ("a", "2"), ("b", "3"), SAMPLED, ("tracestate", "foo=1")];
        assert!(borrowed(&properties).eq(expected), "{injection} injection: {properties:?}");
    }
    TraceContext::parse(SAMPLED.1, "").unwrap().inject(&mut properties);
    let expected = [("b", "1"), ("a", "2"), ("b", "3"), SAMPLED];
    assert!(borrowed(&properties).eq(expected), "without tracestate: {properties:?}");
}

#[test]
fn a_new_entry_comes_first_and_replaces_the_one_with_its_key() {
    let context = TraceContext::parse(SAMPLED.1, "bar=0,bart=7").unwrap();
    let context = context.with_entry("foo", "1").unwrap().with_entry("bar", "2").unwrap();
    let context = context.with_entry("baz", "3").unwrap();
    assert_eq!(context.tracestate(), "baz=3,bar=2,foo=1,bart=7");
    assert_eq!(context.traceparent(), SAMPLED.1);
}

#[test]
fn the_oldest_entry_makes_room_for_a_thirty_third() {
    let mut context = TraceContext::new_root([1; 24], true);
    for number in 0..32 {
        context = context.with_entry(&format!("k{number}"), "v").unwrap();
    }
    assert!(context.tracestate().ends_with(",k1=v,k0=v"), "{}", context.tracestate());

    let replaced = context.clone().with_entry("k7", "w").unwrap();
    assert!(replaced.tracestate().ends_with(",k1=v,k0=v"), "{}", replaced.tracestate());
    assert_eq!(replaced.tracestate().split(',').count(), 32);

    let added = context.with_entry("k32", "v").unwrap();
    assert!(added.tracestate().starts_with("k32=v,k31=v,"), "{}", added.tracestate());
    assert!(added.tracestate().ends_with(",k2=v,k1=v"), "{}", added.tracestate());
    assert_eq!(added.tracestate().split(',').count(), 32);
}

#[test]
fn the_longest_tracestate_is_kept() {
    let mut context = TraceContext::new_root([1; 24], true);
    for number in 0..32 {
        context = context.with_entry(&format!("{:k<256}", format!("k{number:02}")), &"v".repeat(256)).unwrap();
    }
    assert_eq!(context.tracestate().len(), 16_447);
    assert_eq!(TraceContext::parse(&context.traceparent(), context.tracestate()), Ok(context));
}

#[test]
fn an_entry_out_of_the_grammar_is_refused() {
    let root = || TraceContext::new_root([1; 24], true);
    for key in ["a", "a1_-*/", "special@vendor", "1tenant@vendor", "t@v1"] {
        assert_eq!(root().with_entry(key, "1").unwrap().tracestate(), format!("{key}=1"));
    }
    let too_long = "z".repeat(257);
    for key in ["", "FOO", "1", "1a", "_a", "a b", "a.b", "a=b", "a,b", "ü", "@", "@v", "a@1", "a@b@c", &too_long] {
        assert_eq!(root().with_entry(key, "1"), Err(TraceError::Key), "key {key:?}");
    }
    let longest = "x".repeat(256);
    for value in ["1", " 1", "a b", "@", "~", &longest] {
        assert_eq!(root().with_entry("a", value).unwrap().tracestate(), format!("a={value}"));
    }
    let too_long = "x".repeat(257);
    for value in ["", " ", "1 ", "a=b", "a,b", "a\tb", "a\n", "\x7f", "ü", &too_long] {
        assert_eq!(root().with_entry("a", value), Err(TraceError::Value), "value {value:?}");
    }
}

fn check(cases: &[Case<'_>]) {
    for (name, properties, expected) in cases {
        let context = TraceContext::from_properties(properties.iter().copied());
        let found = context.as_ref().map(|context| (hex(&context.trace_id()), context.tracestate()));
        let expected = expected.map(|(trace_id, tracestate)| (trace_id.to_owned(), tracestate));
        assert_eq!(found, expected, "case {name}, of {properties:?}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn borrowed(properties: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    properties.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}
