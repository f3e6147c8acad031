// The component's core modules, as files of this package.

import { readFileSync } from 'node:fs';

const compiled = new Map();

/// A core module, compiled once.
export function coreModule(path) {
  if (!compiled.has(path)) {
    compiled.set(path, new WebAssembly.Module(readFileSync(new URL(`../dist/${path}`, import.meta.url))));
  }
  return compiled.get(path);
}
