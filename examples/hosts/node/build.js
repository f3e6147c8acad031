// Transpiles the components into `dist`: `node build.js [folder with mqtt.wasm and mqtt-tls.wasm]`.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, 'dist');
const components = resolve(process.argv[2] ?? join(here, '../../../target/components'));
const jco = join(here, 'node_modules/.bin/jco');

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
for (const name of ['mqtt', 'mqtt-tls']) {
  const component = join(components, `${name}.wasm`);
  const flags = ['--instantiation', 'sync', '--no-wasi-shim', '--no-nodejs-compat', '--no-typescript', '--quiet'];
  execFileSync(process.execPath, [jco, 'transpile', component, '--name', name, ...flags, '--out-dir', dist], {
    stdio: 'inherit',
  });
  for (const unused of ['interfaces', `${name}.d.ts`]) rmSync(join(dist, unused), { recursive: true, force: true });
  silence(join(dist, `${name}.js`));
}

// What has to be compiled for each.
const files = readdirSync(dist).filter((file) => file.endsWith('.wasm'));
const modules = Object.fromEntries(
  ['mqtt', 'mqtt-tls'].map((name) => [name, files.filter((file) => file.startsWith(`${name}.`)).sort()]),
);
writeFileSync(join(dist, 'modules.js'), `export const modules = ${JSON.stringify(modules)};\n`);

/// The code that jco 1.35.0 writes looks at an environment variable several times in each call, for a trace that this
/// package never asks for: a quarter of the time of a small publish.
function silence(path) {
  const written = readFileSync(path, 'utf8');
  const trace = /if \(!globalThis\?\.process\?\.env\?\.JCO_DEBUG\) \{ return; \}\s*console\.debug\(\.\.\.args\);/;
  if (!trace.test(written)) throw new Error(`${path}: jco writes its trace in another way now: look at \`silence\``);
  writeFileSync(path, written.replace(trace, ''));
}
