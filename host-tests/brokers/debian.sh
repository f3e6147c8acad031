# Programs of Debian's packages in a folder of their own, for any user: nothing is installed. To be sourced by `broker`.

# Apt takes its signatures with the keys that Debian 12 came with.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# debian_fetch SUITE PACKAGE FOLDER [PACKAGE..]: unpacks the packages and the libraries that they want to FOLDER, and
# writes the version of the first to FOLDER/version and those of all to FOLDER/versions. Every program in there runs
# under the C library that comes with it.
debian_fetch() {
  local suite=$1 package=$2 folder=$3 packages=("$2" "${@:4}") program
  for program in apt-get apt-cache dpkg; do
    command -v "$program" >/dev/null || fail "this is no Debian, without $program: $package has to come by other means"
  done
  [ -r "$keyring" ] || fail "this is no Debian, without $keyring: $package has to come by other means"
  begin_fetching "$folder"
  debian_lists "$suite"
  for program in "${packages[@]}"; do debian_download "$program"; done
  debian_unpack "$folder"
  dpkg-deb --field "$work"/debs/"$package"_*.deb Version > "$work/root/version"
  for program in "$work"/debs/*.deb; do dpkg-deb --show "$program"; done > "$work/root/versions"
  finish_fetching "$folder"
}

# An apt with lists and a cache of its own, to which nothing is installed, and the first of the machine's own mirrors
# that has the suite.
debian_lists() {
  local suite=$1 mirror
  mkdir -p "$work"/{lists/partial,cache/archives/partial,debs}
  cat > "$work/apt.conf" <<CONF
// No hook of the machine's, such as one that empties its cache.
#clear APT::Update;
Dir::State::Lists "$work/lists";
Dir::State::Status "/dev/null";
Dir::Cache "$work/cache";
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "/dev/null";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
CONF
  say "reading the package lists of $suite"
  while read -r mirror; do
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" > "$work/sources.list"
    if apt get -qq update; then return; fi
  done < <(debian_mirrors)
  fail "no mirror of Debian's that has $suite is among the machine's package sources"
}

# What the machine's own sources name; nothing is fetched for that.
debian_mirrors() {
  apt get -o Dir::Etc::SourceList=sources.list -o Dir::Etc::SourceParts=sources.list.d update --print-uris |
    sed -nE "s#^'([^']*/debian(\.list)?)/dists/.*#\1#p" | sort -u
}

# What it prints is read here, so it must not be translated.
apt() { LC_ALL=C "apt-$1" -c "$work/apt.conf" "${@:2}"; }

# The package, the libraries and the parts of Erlang that it wants, and what those want; not what it is installed with.
debian_download() {
  local direct packages
  # The first of alternatives has a `|` before it; what is not in the suite stands in `<>`, and is left out.
  mapfile -t direct < <(
    apt cache depends --important "$1" | sed -nE 's/^ *\|?(Pre)?Depends: ((erlang-|lib)[a-z0-9.+-]+)$/\2/p'
  )
  mapfile -t packages < <(
    apt cache depends --recurse --important "${direct[@]}" | grep -E '^(erlang-|lib|zlib)' | sort -u
  )
  say "downloading $((${#packages[@]} + 1)) packages"
  (cd "$work/debs" && apt get -qq download "$1" "${packages[@]}")
}

# No chroot: programs run under the C library that comes with them, which is newer than most systems'. So all of it
# works for any user.
debian_unpack() {
  local folder=$1 root=$work/root deb loader libraries program
  say "unpacking them"
  for deb in "$work"/debs/*.deb; do dpkg --extract "$deb" "$root"; done
  # Older suites have some of their libraries outside /usr.
  if [ -d "$root/lib" ]; then cp -a "$root/lib/." "$root/usr/lib/"; fi
  find "$root" -mindepth 1 -maxdepth 1 ! -name usr -exec rm -rf {} +
  find "$root/usr" -mindepth 1 -maxdepth 1 ! -name lib ! -name sbin ! -name bin -exec rm -rf {} +
  cd "$root"
  loader=$(echo usr/lib/*-linux-*/ld-linux*.so.*)
  [ -e "$loader" ] || fail "Debian's packages are not laid out as expected"
  libraries=$folder/$(dirname "$loader")
  find usr -type f -perm -u+x -path '*bin/*' | while read -r program; do
    [ "$(head -c 4 "$program" | tail -c 3)" = ELF ] || continue
    mv "$program" "$program.elf"
    write_program "$program" "exec '$folder/$loader' --library-path '$libraries' '$folder/$program.elf' \"\$@\""
  done
  erlang_unpacked "$folder"
  # What installing the packages would do: the names that programs ask for.
  PATH=$PATH:/usr/sbin:/sbin ldconfig -n "$(dirname "$loader")"
  cd - >/dev/null
}

write_program() {
  printf '#!/bin/sh\n%s\n' "$2" > "$1"
  chmod +x "$1"
}
