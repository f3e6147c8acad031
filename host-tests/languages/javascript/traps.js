// What goes wrong with the bindings alone, and not with the layer: see examples/guests/javascript/README.md.
import { ConnectOptions, connect as rawConnect } from "mqtt-wasi:client/mqtt@0.1.0";
import { getArguments } from "wasi:cli/environment@0.2.0";
import { command } from "./command.js";
import { connect } from "./mqtt.js";

const PASSWORD = "geheim für alle";

function raw(url) {
  const options = new ConnectOptions();
  options.setUserName("thermometer");
  options.setPassword(PASSWORD);
  rawConnect(url, options);
}

const layered = command(([url]) => {
  connect(url, { userName: "thermometer", password: PASSWORD });
});

export const run = {
  run() {
    const [, url, how] = getArguments();
    if (how === "raw") raw(url);
    else layered.run();
  },
};
