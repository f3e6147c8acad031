// What a program needs that is run by `wasmtime run`: its arguments, and words when it fails. Copy it as mqtt.ts.
//
//   export const run = command((args) => console.log(`hello ${args[0]}`));
import { getArguments } from "wasi:cli/environment@0.2.0";
import { getStderr } from "wasi:cli/stderr@0.2.0";
import { getStdout } from "wasi:cli/stdout@0.2.0";
/** Makes a command of a function that takes the arguments of the program. What it throws is printed. */
export function command(main) {
    return {
        run() {
            try {
                main(getArguments().slice(1));
            }
            catch (error) {
                print(getStderr(), words(error));
                // Ends the program with exit code 1. An Error thrown from here would do so without a word in StarlingMonkey, and
                // with a panic of its own in QuickJS.
                throw undefined;
            }
        },
    };
}
// QuickJS has no console.
globalThis.console ??= {
    log: (...items) => print(getStdout(), items.join(" ")),
    error: (...items) => print(getStderr(), items.join(" ")),
};
function words(error) {
    // Of the client without mqtt.ts.
    const failure = error?.payload;
    const what = failure?.message === undefined ? String(error) : `${failure.name}: ${failure.message}`;
    return error instanceof Error && error.stack ? `${what}\n${error.stack.trimEnd()}` : what;
}
function print(stream, line) {
    const utf8 = unescape(encodeURIComponent(`${line.toWellFormed()}\n`));
    const bytes = Uint8Array.from(utf8, (char) => char.charCodeAt(0));
    for (let at = 0; at < bytes.length; at += 4096)
        stream.blockingWriteAndFlush(bytes.subarray(at, at + 4096));
}
