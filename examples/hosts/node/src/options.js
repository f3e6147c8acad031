// The options of a connection: each name is that of a setter of the component, without `set`.

import { pairs, publicationToWit, toBytes, unknownOption } from './message.js';
import { wrongCall } from './error.js';

const list = (value) => (Array.isArray(value) ? value : [value]);

/// Setters whose argument is not as it is given.
const CONVERTED = {
  password: (value) => [toBytes(value, 'password')],
  authenticationData: (value) => [toBytes(value, 'authenticationData')],
  snapshot: (value) => [toBytes(value, 'snapshot')],
  clientCertificate: ({ chain, key }) => [toBytes(chain, 'chain'), toBytes(key, 'key')],
  reconnectDelaysMs: ([first, longest]) => [first, longest],
  will: (will) =>
    will ? [publicationToWit(will.topic, will.payload, will), will.delayIntervalSeconds] : [undefined, undefined],
};

/// Options that are given as lists, with the call for each member.
const ADDED = {
  ca: ['addCa', (value) => [toBytes(value, 'ca')]],
  fingerprints: ['addFingerprint', (value) => [value]],
  alpn: ['addAlpn', (value) => [toBytes(value, 'alpn')]],
  fallbacks: ['addFallback', (value) => [value]],
  websocketHeaders: ['addWebsocketHeader', (pair) => pair],
  userProperties: ['addUserProperty', (pair) => pair],
};
const PAIRS = ['websocketHeaders', 'userProperties'];

/// Options for what is around the component.
const OURS = ['allow'];

/// Fills the component's options.
export function applyOptions(ConnectOptions, options = {}) {
  const target = new ConnectOptions();
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || OURS.includes(name)) continue;
    if (Object.hasOwn(ADDED, name)) {
      const [adder, convert] = ADDED[name];
      for (const member of PAIRS.includes(name) ? pairs(value) : list(value)) target[adder](...convert(member));
      continue;
    }
    const setter = `set${name[0]?.toUpperCase()}${name.slice(1)}`;
    if (typeof target[setter] !== 'function') throw unknownOption(name, known(ConnectOptions));
    const convert = CONVERTED[name];
    target[setter](...(convert ? convert(value) : [checked(name, value)]));
  }
  return target;
}

function known(ConnectOptions) {
  const setters = Object.getOwnPropertyNames(ConnectOptions.prototype).filter((name) => name.startsWith('set'));
  return [...setters.map((name) => name[3].toLowerCase() + name.slice(4)), ...Object.keys(ADDED), ...OURS].sort();
}

/// Numbers, text and booleans as they are. The bindings would make 0 of what they do not understand.
function checked(name, value) {
  const isCount = typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
  if (isCount || typeof value === 'boolean' || typeof value === 'string') return value;
  throw wrongCall(`the option ${name} is a whole number, text or a boolean, and not ${typeof value}`);
}

/// The brokers that these options name, and what else they allow.
export function allowedBy(url, options = {}) {
  return [url, ...list(options.fallbacks ?? []), ...list(options.proxy ?? []), ...list(options.allow ?? [])];
}

export function needsTls(url, options = {}) {
  return [url, ...list(options.fallbacks ?? [])].some((each) => /^(mqtts|wss):/i.test(each));
}
