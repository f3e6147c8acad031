//! The callee of the comparison of element types: takes messages and gives messages, in every form.

use std::cell::RefCell;
use std::hint::black_box;

use bindings::exports::mqtt_wasi::bench::elements;
use forms::*;

#[path = "../forms.rs"]
#[allow(dead_code, reason = "the caller needs more of it")]
mod forms;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "elements-callee",
        additional_derives: [zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes],
        additional_derives_ignore: ["joined", "bytes-message", "text-message", "words-message"],
    });
}

thread_local! {
    static KEPT: RefCell<Messages> = RefCell::default();
}

struct Callee;

macro_rules! exports {
    ($($group:ident { $($name:literal, $form:ty, $take:ident, $give:ident;)* })*) => {
        impl elements::Guest for Callee {
            fn keep(messages: u32, size: u32) {
                KEPT.set(Messages::new(messages, size));
            }

            fn nothing() {}

            $($(
                fn $take(list: <$form as Form>::List, is_looked_at: bool) -> u32 {
                    take::<$form>(&list, is_looked_at)
                }

                fn $give() -> <$form as Form>::List {
                    KEPT.with_borrow(<$form>::make)
                }
            )*)*
        }
    };
}

with_forms!(exports);

fn take<F: Form>(list: &F::List, is_looked_at: bool) -> u32 {
    let list = black_box(list);
    if is_looked_at { KEPT.with_borrow(|kept| look::<F>(list, kept)) } else { 0 }
}

bindings::export!(Callee with_types_in bindings);

/// A program has one, which nobody calls here.
fn main() {}
