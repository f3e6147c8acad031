# What is fetched, each in a folder of its own in the user's cache. To be sourced by `broker` and `tls-peer`.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/mqtt-wasi/brokers

fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# Made beside its place and moved there when complete, so that a run that was killed leaves no half one. Sets `work`.
begin_fetching() {
  mkdir -p "$cache"
  find "$cache" -maxdepth 1 -name "${1##*/}.partial.*" -mmin +60 -exec rm -rf {} +
  work=$(mktemp -d "$1.partial.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/root"
}

# Another run may have been faster, and a broker may run from there: then nothing else but its files is exchanged.
finish_fetching() {
  rm -rf "$1"
  mv -T "$work/root" "$1"
  rm -rf "$work"
  trap - EXIT
}
