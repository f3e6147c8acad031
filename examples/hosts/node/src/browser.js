// The face that does not block, in a browser: over WebSocket, to `ws://` and `wss://` URLs.

import { Client } from './async.js';
import { endpoint } from './addresses.js';
import { wrongCall } from './error.js';
import { newBell } from './shared.js';
import { modules } from '../dist/modules.js';

export { Client } from './async.js';
export { MqttError } from './error.js';
export { Message } from './message.js';

/// Connects to a broker's WebSocket listener.
export function connect(url, options) {
  return open(String(url), options, 'connect');
}

/// Begins to connect with enhanced authentication.
export function start(url, options) {
  return open(String(url), options, 'start');
}

let sockets, compiled;
let ids = 0;

async function open(url, options = {}, how) {
  if (!globalThis.crossOriginIsolated) {
    throw wrongCall(
      'this page has no shared memory, which the client needs: serve it with the headers ' +
        'Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp',
    );
  }
  const fallbacks = [options.fallbacks ?? []].flat();
  const endpoints = [url, ...fallbacks].map(endpointOf);
  const [first, ...others] = endpoints.map(({ mqtt }) => mqtt);
  const component = await (compiled ??= compile());
  return Client.open((events) => begin(endpoints, component, events, {
    url: first,
    options: { ...options, fallbacks: others },
    how,
  }));
}

function begin(endpoints, modules, { message, ended }, init) {
  // The URLs are written out here, because that is how bundlers find the files.
  sockets ??= new Worker(new URL('./io-browser.js', import.meta.url), { type: 'module', name: 'mqtt-wasi sockets' });
  const worker = new Worker(new URL('./client-browser.js', import.meta.url), {
    type: 'module',
    name: 'mqtt-wasi client',
  });
  const { port1, port2 } = new MessageChannel();
  const bell = newBell();
  const id = (ids += 1);
  sockets.postMessage({ begin: id, port: port2, bell, endpoints }, [port2]);
  worker.postMessage({ ...init, modules, link: { port: port1, bell } }, [port1]);
  worker.onmessage = ({ data }) => message(data);
  worker.onerror = (event) => ended(new Error(event.message ?? 'the thread of the client did not start'));
  return {
    postMessage: (call) => worker.postMessage(call),
    terminate() {
      worker.terminate();
      sockets.postMessage({ end: id });
    },
    keepAlive() {},
  };
}

/// What the component is told for a URL: the login, and a host and a port that stand for the rest.
function endpointOf(text) {
  const found = /^wss?:\/\//i.test(text) ? endpoint(text) : undefined;
  if (!found) throw wrongCall('in a browser, the URL of a broker begins with ws:// or wss://, and has a host');
  const parsed = new URL(text);
  const login = parsed.username ? `${parsed.username}${parsed.password ? `:${parsed.password}` : ''}@` : '';
  parsed.username = parsed.password = '';
  const host = found.host.includes(':') ? `[${found.host}]` : found.host;
  return { ...found, url: parsed.href, mqtt: `mqtt://${login}${host}:${found.port}` };
}

async function compile() {
  const paths = modules.mqtt;
  const list = await Promise.all(
    paths.map(async (path) => {
      const response = await fetch(new URL(`../dist/${path}`, import.meta.url));
      if (!response.ok) throw new Error(`${response.url} is not there: ${response.status}`);
      return WebAssembly.compile(await response.arrayBuffer());
    }),
  );
  return Object.fromEntries(paths.map((path, index) => [path, list[index]]));
}
