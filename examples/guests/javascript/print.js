import { getStdout } from "wasi:cli/stdout@0.2.0";

// QuickJS has neither a console nor a TextEncoder.
export function print(line) {
  const utf8 = unescape(encodeURIComponent(`${line}\n`));
  getStdout().blockingWriteAndFlush(Uint8Array.from(utf8, (char) => char.charCodeAt(0)));
}

// What the client fails with is in the payload of what is thrown. The error itself says only "[object Object]".
export function words(error) {
  const failure = error.payload;
  return failure ? `${failure.kind} ${failure.name}: ${failure.message}` : `${error}\n${error.stack}`;
}
