//! The caller of the comparison of element types: sends messages to the callee and gets messages from it, in every
//! form, and says how long that took.

use std::hint::black_box;
use std::time::Instant;

use bindings::exports::mqtt_wasi::bench::timing::{Guest, Step};
use bindings::mqtt_wasi::bench::elements;
use forms::*;

#[path = "../forms.rs"]
mod forms;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "elements-caller",
        additional_derives: [zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes],
        additional_derives_ignore: ["joined", "bytes-message", "text-message", "words-message", "step"],
    });
}

struct Caller;

macro_rules! exports {
    ($($group:ident { $($name:literal, $form:ty, $take:ident, $give:ident;)* })*) => {
        impl Guest for Caller {
            $(fn $group() -> Vec<String> {
                [$($name),*].map(Into::into).into()
            })*

            fn time(form: String, step: Step, messages: u32, size: u32, calls: u32) -> u64 {
                elements::keep(messages, size);
                let messages = &Messages::new(messages, size);
                match form.as_str() {
                    $($(
                        $name => time::<$form>(
                            step,
                            messages,
                            calls,
                            |list, is_looked_at| elements::$take(list, is_looked_at),
                            elements::$give,
                        ),
                    )*)*
                    _ => panic!("there is no form {form}"),
                }
            }

            fn time_nothing(calls: u32) -> u64 {
                repeat(calls, elements::nothing)
            }
        }
    };
}

with_forms!(exports);

fn time<F: Form>(
    step: Step,
    messages: &Messages,
    calls: u32,
    take: impl Fn(&F::List, bool) -> u32,
    give: impl Fn() -> F::List,
) -> u64 {
    let list = &F::make(messages);
    let sum = look::<F>(list, messages);
    assert_eq!(F::lend(messages, |list| take(list, true)), sum, "what arrives there");
    assert_eq!(look::<F>(&give(), messages), sum, "what arrives back");
    match step {
        Step::Argument => repeat(calls, || take(list, false)),
        Step::Result => repeat(calls, give),
        Step::Make => repeat(calls, || F::make(black_box(messages))),
        Step::Unpack => repeat(calls, || unpack::<F>(black_box(list), messages)),
        Step::There => repeat(calls, || F::lend(messages, |list| take(list, true))),
        Step::Back => repeat(calls, || {
            let list = give();
            let kept = unpack::<F>(&list, messages);
            (list, kept)
        }),
    }
}

/// The nanoseconds that it takes, what is returned being freed.
fn repeat<R>(calls: u32, call: impl Fn() -> R) -> u64 {
    // The first calls find memory to be grown.
    for _ in 0..2 {
        black_box(call());
    }
    let start = Instant::now();
    for _ in 0..calls {
        black_box(call());
    }
    start.elapsed().as_nanos() as u64
}

bindings::export!(Caller with_types_in bindings);

/// A program has one, which nobody calls here.
fn main() {}
