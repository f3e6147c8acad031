// What a client may connect to: its brokers, and nothing else.

import { endpoint, parse } from './addresses.js';

export class Permissions {
  #endpoints = [];

  /// Each is the URL of a broker, or `host:port`.
  constructor(allowed) {
    for (const text of allowed) {
      const found = endpoint(text);
      if (found) this.#endpoints.push({ ...found, addresses: new Set() });
    }
  }

  /// Whether the addresses of this name may be asked for.
  mayLookUp(name) {
    return this.#endpoints.some(({ host }) => host === name.toLowerCase());
  }

  /// A name has these addresses now.
  found(name, addresses) {
    for (const each of this.#endpoints) {
      if (each.host === name.toLowerCase()) each.addresses = new Set(addresses);
    }
  }

  mayConnect(address, port) {
    return this.#endpoints.some(
      (each) => each.port === port && (parse(each.host) === address || each.addresses.has(address)),
    );
  }
}
