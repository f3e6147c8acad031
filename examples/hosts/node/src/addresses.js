// Internet addresses as text, and as wasi:sockets has them.

/// The usual form of an address: `127.0.0.1`, or `::1` without brackets. Undefined for anything else, such as a name.
export function parse(text) {
  const isIpv6 = text.includes(':');
  if (!isIpv6 && !/^\d+\.\d+\.\d+\.\d+$/.test(text)) return undefined;
  try {
    const { hostname } = new URL(isIpv6 ? `http://[${text.replace(/^\[|\]$/g, '')}]` : `http://${text}`);
    return hostname.replace(/^\[|\]$/g, '');
  } catch {
    return undefined;
  }
}

/// The text of an `ip-address` of WASI.
export function format({ tag, val }) {
  return parse(tag === 'ipv4' ? val.join('.') : val.map((part) => part.toString(16)).join(':'));
}

/// The `ip-address` of WASI for a text that `parse` returned.
export function toWasi(text) {
  if (!text.includes(':')) return { tag: 'ipv4', val: text.split('.').map(Number) };
  const [before, after] = text.split('::').map((half) => half.split(':').filter((part) => part !== ''));
  const missing = Array(8 - before.length - (after?.length ?? 0)).fill('0');
  return { tag: 'ipv6', val: [...before, ...missing, ...(after ?? [])].map((part) => parseInt(part, 16)) };
}

/// Host and port of a broker's URL, or of `host:port`. Undefined if it is neither.
export function endpoint(text) {
  const { scheme = '', rest } = /^(?:(?<scheme>[a-z0-9]+):\/\/)?(?<rest>.*)$/is.exec(text).groups;
  // As the component does: a login may have a `/` or an `@` in it, where no path follows.
  const login = /^mqtts?$/i.test(scheme) ? /^.*@/s : /^[^/?#]*@/;
  const match = /^(\[[0-9a-f:.]+\]|[^:/?#@[\]]+)(?::(\d+))?(?:[/?#].*)?$/is.exec(rest.replace(login, ''));
  if (!match) return undefined;
  const [, host, port] = match;
  const usual = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 }[scheme.toLowerCase()];
  const number = port === undefined ? usual : Number(port);
  if (number === undefined || number < 1 || number > 65535) return undefined;
  const bare = host.replace(/^\[|\]$/g, '');
  return { host: parse(bare) ?? bare.toLowerCase(), port: number };
}
