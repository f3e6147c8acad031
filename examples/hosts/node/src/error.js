// Failures as exceptions.

/// A call that failed. `message` tells what went wrong, in words.
export class MqttError extends Error {
  constructor({ kind, name, message, code }) {
    super(message);
    /// What it means for the program: `wrong-call`, `try-later`, `timed-out`, `refused`, `connection-over`,
    /// `not-trusted` or `protocol-broken`.
    this.kind = kind;
    /// What it is, exactly: for example `publish-refused`.
    this.code = name;
    /// The Reason Code of the broker, as MQTT's own number.
    this.reasonCode = code;
  }

  /// What the constructor takes, to send it to another thread.
  toFailure() {
    return { kind: this.kind, name: this.code, message: this.message, code: this.reasonCode };
  }
}
MqttError.prototype.name = 'MqttError';

export const wrongCall = (message) => new MqttError({ kind: 'wrong-call', name: 'invalid-argument', message });

/// Calls the component; what it throws becomes an `MqttError`.
export function guarded(call) {
  try {
    return call();
  } catch (error) {
    const failure = error?.payload;
    throw failure?.kind === undefined ? error : new MqttError(failure);
  }
}
