// Serves the page, with the headers that give it shared memory: `node serve.js`, then open the URL that it prints. With
// a program and the URL of a broker, `node serve.js chromium ws://localhost:8080/mqtt`, it opens the page in that
// browser, without a window, and prints what the page shows.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const [browser, broker] = process.argv.slice(2);
const here = fileURLToPath(new URL('.', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };
/// How long a page may take, in milliseconds.
const LONGEST = 180_000;

const server = createServer((request, response) => {
  if (request.method === 'POST') {
    response.end();
    collect(request).then(finish);
    return;
  }
  const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
  try {
    const content = readFileSync(join(here, path.endsWith('/') ? `${path}index.html` : path));
    response.writeHead(200, {
      'Content-Type': TYPES[extname(path) || '.html'] ?? 'application/octet-stream',
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    });
    response.end(content);
  } catch {
    response.writeHead(404).end();
  }
});

let finish = () => {};
server.listen(0, '127.0.0.1', async () => {
  const url = `http://127.0.0.1:${server.address().port}/`;
  if (!browser) return console.log(url);
  process.exitCode = await open(`${url}?${encodeURIComponent(broker)}`);
  server.close();
  server.closeAllConnections();
});

/// Opens a page, and prints what it shows; returns whether there was something, as an exit code.
async function open(url) {
  const profile = mkdtempSync(join(tmpdir(), 'mqtt-wasi-'));
  const flags = ['--headless=new', '--disable-gpu', '--no-first-run', `--user-data-dir=${profile}`];
  // The superuser has no sandbox there, and machines of CI run everything as the superuser.
  if (process.getuid?.() === 0) flags.push('--no-sandbox');
  const child = spawn(browser, [...flags, url], { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaints = '';
  child.stderr.on('data', (text) => (complaints += text));
  const shown = await new Promise((resolve) => {
    finish = resolve;
    setTimeout(resolve, LONGEST).unref();
    child.on('error', (error) => resolve((complaints += error) && undefined)).on('exit', () => resolve(undefined));
  });
  child.removeAllListeners('exit');
  const gone = new Promise((resolve) => child.once('exit', resolve));
  if (child.kill()) await gone;
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  if (shown === undefined) console.error(`the page did not finish\n${complaints}`);
  else process.stdout.write(shown);
  return shown === undefined ? 1 : 0;
}

async function collect(stream) {
  let text = '';
  for await (const part of stream) text += part;
  return text;
}
