#!/usr/bin/env bash
# One would guess: a JavaScript component gets a WIT u64 as a BigInt, as componentize-js with StarlingMonkey and
# jco have it, so that all 64 bits come through.
#
# What happens with componentize-qjs: the component gets a Number. From 2^53 on it is another number than the caller's,
# without an error, and 2^64 - 1 is -1. So it is alone, in a list and in a record.
#
# Versions: componentize-qjs 0.4.5, and @bytecodealliance/jco 1.35.0 to run the component in node.
#
# Why it matters: an MQTT interface that packs bytes into 64-bit words, which cross between components much faster than
# bytes do, arrives corrupted in QuickJS. Numbers that only count, such as those of requests, are fine.
#
# Needs node 20 or newer, and npm.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat > package.json <<'JSON'
{
  "private": true,
  "type": "module",
  "dependencies": { "componentize-qjs": "0.4.5", "@bytecodealliance/jco": "1.35.0" },
  "overrides": { "@bytecodealliance/preview2-shim": "0.26.0" }
}
JSON
npm install --silent --no-audit --no-fund
for name in componentize-qjs @bytecodealliance/jco; do
  node -p '`${process.argv[1]} ${JSON.parse(fs.readFileSync(`node_modules/${process.argv[1]}/package.json`)).version}`' "$name"
done

cat > words.wit <<'WIT'
package finding:words;

world words {
  record pair { first: u64, second: u64 }

  export of-one: func(word: u64) -> string;
  export of-list: func(words: list<u64>) -> string;
  export of-record: func(pair: pair) -> string;
}
WIT

cat > words.js <<'JS'
const show = (word) => `${typeof word} ${word}`;
export const ofOne = show;
export const ofList = (words) => Array.from(words, show).join(", ");
export const ofRecord = ({ first, second }) => `${show(first)}, ${show(second)}`;
JS

npx componentize-qjs --wit words.wit --js words.js -n words --sync -o words.wasm
npx jco transpile words.wasm --quiet -o out > /dev/null

cat > run.js <<'JS'
import { ofOne, ofList, ofRecord } from "./out/words.js";
const [small, odd, most] = [42n, 9007199254740993n, 18446744073709551615n];
console.log(`sent ${small}, ${odd}, ${most}`);
console.log("alone   ", [small, odd, most].map((word) => ofOne(word)).join(", "));
console.log("list    ", ofList(BigUint64Array.of(small, odd, most)));
console.log("record  ", ofRecord({ first: odd, second: most }));
JS
# Node 20 has constant expressions with an addition behind this switch; later ones know no such switch.
switch=$(node --v8-options | grep -o -- "--experimental-wasm-extended-const" | head -1 || true)
node $switch run.js | tee seen.txt

diff - seen.txt <<'TXT' || { echo "this is no longer so"; exit 1; }
sent 42, 9007199254740993, 18446744073709551615
alone    number 42, number 9007199254740992, number -1
list     number 42, number 9007199254740992, number -1
record   number 9007199254740992, number -1
TXT
echo "as described"
