// The sockets of Node.js.

import { lookup } from 'node:dns/promises';
import { connect } from 'node:net';
import { parentPort } from 'node:worker_threads';

import { serve } from './io.js';

/// How long a peer may take what was written before the connection was closed, in milliseconds.
const LINGER = 500;

const CODES = {
  ECONNREFUSED: 'connection-refused',
  ECONNRESET: 'connection-reset',
  EPIPE: 'connection-reset',
  ECONNABORTED: 'connection-aborted',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'remote-unreachable',
  ENETUNREACH: 'remote-unreachable',
  EADDRNOTAVAIL: 'remote-unreachable',
  EACCES: 'access-denied',
  EPERM: 'access-denied',
  EMFILE: 'new-socket-limit',
  ENFILE: 'new-socket-limit',
};

const transport = {
  dial(host, port, { connected, received, drained, ended, failed }) {
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true });
    socket
      .on('connect', connected)
      .on('data', received)
      .on('drain', drained)
      .on('end', ended)
      .on('error', (error) => failed(CODES[error.code] ?? 'unknown'));
    return {
      write: (bytes) => socket.write(bytes),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      end: () => socket.end(),
      close() {
        socket.resume();
        if (socket.connecting) socket.destroy();
        else socket.end(() => socket.destroy());
        setTimeout(() => socket.destroy(), LINGER);
      },
    };
  },

  async lookUp(name) {
    try {
      return (await lookup(name, { all: true, verbatim: true })).map(({ address }) => address);
    } catch (error) {
      throw { wasi: error.code === 'EAI_AGAIN' ? 'temporary-resolver-failure' : 'name-unresolvable' };
    }
  },
};

parentPort.on('message', ({ port, bell }) => {
  const end = serve(port, bell, transport);
  port.on('close', end);
});
