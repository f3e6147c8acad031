#!/usr/bin/env bash
# One would guess: wit-bindgen for Rust passes `list<tuple<u64, u64>>` as cheaply as a list of a record with two u64
# fields. The canonical ABI lays both out in the same 16 bytes, so the caller can lend the memory of its slice, and the
# callee can take over the memory that it was given.
#
# What happens: only the record is passed like that. For the tuple, the caller allocates memory of the same size and
# fills it element by element, and the callee allocates once more and copies again. A record that has a tuple in it is
# copied as well, while a record that has a record in it is not. Lists of enum, flags, bool and char are copied even by
# the caller, though each Rust value of these is already what the ABI wants.
#
# Versions: wit-bindgen-rust and wit-bindgen-core 0.63.0, and 0.61.1.
#
# Why it matters: `list<tuple<u64, u64>>` and `list<reason-code>` are what one writes first for ranges and identifiers of
# messages, and for the answers to a subscription. In an interface that passes many numbers, a record instead of a tuple
# saves two allocations and two copies for each call.
#
# Needs cargo. It generates bindings and looks at the functions; nothing is run in WebAssembly.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CARGO_TARGET_DIR="$work/target"
mkdir src

cat > lists.wit <<'WIT'
package finding:lists;

interface lists {
  record pair { first: u64, last: u64 }
  record two-pairs { left: pair, right: pair }
  record pair-as-tuple { both: tuple<u64, u64> }
  record coded { number: u32, code: code }
  enum code { refused, gone }
  flags bits { retain, duplicate }

  u64s: func(all: list<u64>);
  records: func(all: list<pair>);
  records-in-records: func(all: list<two-pairs>);
  tuples: func(all: list<tuple<u64, u64>>);
  tuples-in-records: func(all: list<pair-as-tuple>);
  enums-in-records: func(all: list<coded>);
  enums: func(all: list<code>);
  sets-of-flags: func(all: list<bits>);
  bools: func(all: list<bool>);
  chars: func(all: list<char>);
}

world both-sides {
  import lists;
  export lists;
}
WIT

cat > src/main.rs <<'RUST'
use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};

const NAMES: [&str; 10] = [
    "u64s",
    "records",
    "records_in_records",
    "tuples",
    "tuples_in_records",
    "enums_in_records",
    "enums",
    "sets_of_flags",
    "bools",
    "chars",
];

// The text from `start` up to the first of `ends`.
fn part<'a>(code: &'a str, start: &str, ends: &[&str]) -> &'a str {
    let from = code.find(start).unwrap_or_else(|| panic!("no {start}")) + start.len();
    let rest = &code[from..];
    &rest[..ends.iter().filter_map(|end| rest.find(end)).min().expect("an end")]
}

fn main() {
    let wit = std::fs::read_to_string("lists.wit").unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("lists.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut files = Files::default();
    wit_bindgen_rust::Opts::default().build().generate(&mut resolve, world, &mut files).unwrap();
    let code = String::from_utf8(files.iter().next().unwrap().1.to_vec()).unwrap();

    for name in NAMES {
        let caller = part(&code, &format!("pub fn {name}("), &["fn wit_import"]);
        let caller = match (caller.contains("Layout::from_size_align"), caller.contains("for (i, e) in")) {
            (false, false) => "lends",
            (true, true) => "allocates-and-copies",
            _ => "other",
        };
        let callee = part(&code, &format!("pub unsafe fn _export_{name}_cabi<"), &["unsafe fn ", "trait Guest"]);
        let callee = match (callee.contains("Vec::from_raw_parts"), callee.contains("Vec::with_capacity")) {
            (true, false) => "takes-over",
            (false, true) => "allocates-and-copies",
            _ => "other",
        };
        println!("{name:<19} {caller:<21} {callee}");
    }
}
RUST

cat > expected <<'TABLE'
u64s                lends                 takes-over
records             lends                 takes-over
records_in_records  lends                 takes-over
tuples              allocates-and-copies  allocates-and-copies
tuples_in_records   allocates-and-copies  allocates-and-copies
enums_in_records    allocates-and-copies  allocates-and-copies
enums               allocates-and-copies  allocates-and-copies
sets_of_flags       allocates-and-copies  allocates-and-copies
bools               allocates-and-copies  allocates-and-copies
chars               allocates-and-copies  allocates-and-copies
TABLE

for version in 0.63.0 0.61.1; do
  cat > Cargo.toml <<TOML
[package]
name = "look"
version = "0.0.0"
edition = "2024"

[dependencies]
wit-bindgen-core = "=$version"
wit-bindgen-rust = "=$version"

[profile.dev]
debug = false

[workspace]
TOML
  rm -f Cargo.lock
  cargo build --quiet
  target/debug/look > seen
  echo "wit-bindgen-rust $version"
  echo "list of             the caller            the callee"
  cat seen
  echo
  if ! diff expected seen; then
    echo "CHANGED: wit-bindgen-rust $version no longer does this"
    exit 1
  fi
done
echo "as described"
