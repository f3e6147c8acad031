#!/usr/bin/env bash
# One would guess: `listener 0 PATH` listens at a Unix socket with this path, as the manual says, also if the path has a
# space, or mosquitto says what is wrong. Other paths in the same file, such as `persistence_location`, may have spaces.
#
# What happens: the path ends at the first space. `listener 0 /srv/my sockets/mqtt` listens at `/srv/my`, and what
# follows is ignored without a word. Quotes do not help: they become part of the path.
#
# Versions: mosquitto 2.0.11-1.2+deb12u2 (Debian 12), 2.1.2-3 (Debian forky).
#
# Why it matters: mosquitto says that it runs, and clients do not find it. Its socket may be in a folder with other
# permissions than the one that was chosen.
#
# Needs Debian's apt and dpkg. Nothing uses the network but apt.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
broker=$here/../host-tests/brokers/broker
work=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server"; fi; rm -rf "$work"' EXIT
cd "$work"
# Where the brokers are unpacked.
export XDG_CACHE_HOME=$work

# Prints the sockets that a mosquitto makes which is to listen at this path, which is relative to its folder.
listen() {
  local program=$1 path=$2 waited=0
  mkdir -p 'folder/my sockets' 'folder/data of mine'
  cd folder
  printf 'listener 0 %s\nallow_anonymous true\nuser root\nlog_dest none\n' "$path" > mosquitto.conf
  printf 'persistence true\npersistence_location %s/data of mine/\n' "$PWD" >> mosquitto.conf
  "$program" -c mosquitto.conf 2>/dev/null &
  server=$!
  while [ -z "$(find . -type s)" ]; do
    if [ "$waited" = 200 ]; then echo "  no socket after 20 s"; exit 1; fi
    waited=$((waited + 1))
    sleep 0.1
  done
  echo "  listener 0 $path: $(find . -type s -printf '%P\n')"
  kill "$server"
  wait "$server" || true
  server=
  echo "    its database: $(find . -name mosquitto.db -printf '%P\n')"
  cd ..
  rm -rf folder
}

cat > expected <<'TABLE'
mosquitto 2.0.11-1.2+deb12u2
  listener 0 mqtt: mqtt
    its database: data of mine/mosquitto.db
  listener 0 my sockets/mqtt: my
    its database: data of mine/mosquitto.db
  listener 0 "my sockets/mqtt": "my
    its database: data of mine/mosquitto.db
mosquitto 2.1.2-3
  listener 0 mqtt: mqtt
    its database: data of mine/mosquitto.db
  listener 0 my sockets/mqtt: my
    its database: data of mine/mosquitto.db
  listener 0 "my sockets/mqtt": "my
    its database: data of mine/mosquitto.db
TABLE

"$broker" install mosquitto-2.0 mosquitto-2.1 2>/dev/null
for name in mosquitto-2.0 mosquitto-2.1; do
  echo "mosquitto $("$broker" version "$name")"
  for path in mqtt 'my sockets/mqtt' '"my sockets/mqtt"'; do
    listen "$work/mqtt-wasi/brokers/$name/usr/sbin/mosquitto" "$path"
  done
done > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
