#!/usr/bin/env bash
# One would guess: a JavaScript component that throws an ordinary Error (a TypeError from a bug, for example) from a
# function whose WIT result is `result<T, E>` traps, since the Error is no E. jco's bindings for the host's side say so
# themselves: "if (e instanceof Error) throw e". And inside the component, the error that an imported function's err
# is thrown as is an Error: its text begins with "Error: ".
#
# What happens: it depends on E. The bindings inside the component test `instanceof Error` with an Error class that is
# not the one of the component's own code, so the test is never true for what this code throws. The thrown object is then
# converted to E like any other value: to 0 for integers up to 32 bits, NaN for floats, true for bool, an empty list for
# list<u8>, and a record of such zeros for a record. The caller sees an ordinary err. Only where the conversion itself
# fails (string, u64) there is a trap. For the same reason `error instanceof Error` is false in the component for what
# an imported function throws: the usual `catch (e) { if (e instanceof Error) ... }` skips exactly these.
#
# Versions: @bytecodealliance/componentize-js 0.23.0, and @bytecodealliance/jco 1.35.0 to run the component in node.
#
# Why it matters: an MQTT interface that reports failures by the protocol's numbers, `result<T, u8>`, gets Reason Code 0,
# which is Success, for any bug of the handler; `result<T, list<u8>>` gets an empty payload. A string, a variant or an
# enum as err tells the two apart. In the component, ask for `"payload" in error`, not for `instanceof Error`.
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
  "dependencies": { "@bytecodealliance/componentize-js": "0.23.0", "@bytecodealliance/jco": "1.35.0" }
}
JSON
npm install --silent --no-audit --no-fund
for name in componentize-js jco; do
  node -p '`${process.argv[1]} ${JSON.parse(fs.readFileSync(`node_modules/@bytecodealliance/${process.argv[1]}/package.json`)).version}`' "$name"
done

cat > handler.wit <<'WIT'
package finding:errors;

interface broker {
  publish: func(topic: string) -> result<u32, string>;
}

interface handler {
  record failure { code: u8, fatal: bool }
  enum reason { refused, gone }

  // Each runs into the same TypeError.
  as-u8: func() -> result<u32, u8>;
  as-u32: func() -> result<u32, u32>;
  as-f64: func() -> result<u32, f64>;
  as-bool: func() -> result<u32, bool>;
  as-bytes: func() -> result<u32, list<u8>>;
  as-nothing: func() -> result<u32>;
  as-record: func() -> result<u32, failure>;
  as-u64: func() -> result<u32, u64>;
  as-string: func() -> result<u32, string>;
  as-enum: func() -> result<u32, reason>;

  // What the component sees of a TypeError of its own, and of the err that an import returns.
  own-error: func() -> string;
  imported-error: func() -> string;
}

world component {
  import broker;
  export handler;
}
WIT

cat > handler.js <<'JS'
import { publish } from "finding:errors/broker";

function bug() {
  const subscription = undefined;
  return subscription.topic.length;
}

function seen(action) {
  try {
    action();
    return "nothing thrown";
  } catch (error) {
    return `${String(error)} | instanceof Error: ${error instanceof Error}`;
  }
}

export const handler = {
  asU8: bug,
  asU32: bug,
  asF64: bug,
  asBool: bug,
  asBytes: bug,
  asNothing: bug,
  asRecord: bug,
  asU64: bug,
  asString: bug,
  asEnum: bug,
  ownError: () => seen(() => { throw new TypeError("a bug"); }),
  importedError: () => seen(() => publish("a/b")),
};
JS

cat > broker.js <<'JS'
export function publish() {
  throw "not authorized";
}
JS

cat > build.js <<'JS'
import { readFile, writeFile, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { componentize } from "@bytecodealliance/componentize-js";
import { transpile } from "@bytecodealliance/jco";

const { component } = await componentize({
  sourcePath: "handler.js",
  witWorld: await readFile("handler.wit", "utf8"),
  worldName: "component",
  disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
});
const { files } = await transpile(component, {
  name: "handler",
  map: ["finding:errors/broker=../broker.js"],
});
for (const [name, content] of Object.entries(files)) {
  await mkdir(dirname(`out/${name}`), { recursive: true });
  await writeFile(`out/${name}`, content);
}
JS
node build.js

cat > run.js <<'JS'
function show(value) {
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// What a trap says is the engine's affair.
async function outcome(name) {
  // An instance of its own, since one that trapped is of no more use.
  const { handler } = await import(`./out/handler.js?${name}`);
  try {
    return show(handler[name]());
  } catch (error) {
    return "payload" in error ? `err(${show(error.payload)})` : "a trap";
  }
}

const names = ["asU8", "asU32", "asF64", "asBool", "asBytes", "asNothing", "asRecord", "asU64", "asString", "asEnum"];
for (const name of [...names, "ownError", "importedError"]) {
  console.log(`${name.padEnd(14)} ${await outcome(name)}`);
}
JS

cat > expected <<'TABLE'
asU8           err(0)
asU32          err(0)
asF64          err(NaN)
asBool         err(true)
asBytes        err(0 bytes)
asNothing      err(undefined)
asRecord       err({"code":0,"fatal":false})
asU64          a trap
asString       a trap
asEnum         a trap
ownError       TypeError: a bug | instanceof Error: true
importedError  Error: not authorized | instanceof Error: false
TABLE

node run.js > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
