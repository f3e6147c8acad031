# RabbitMQ and ejabberd, which run on Erlang. To be sourced by `broker`.

# erlang_unpacked FOLDER: corrects what Debian's packages were unpacked to in `root`, for its place in FOLDER. RabbitMQ
# starts another Erlang to find its peers with, which cannot listen at the port of the node.
erlang_unpacked() {
  local bin
  bin=$(echo usr/lib/erlang/erts-*/bin)
  [ -d "$bin" ] || return 0
  write_program usr/lib/erlang/bin/erl "export ROOTDIR='$1/usr/lib/erlang' BINDIR='$1/$bin' EMU=beam PROGNAME=erl
exec \"\$BINDIR/erlexec\" -dist_listen false \"\$@\""
}

# erlang_set_up FOLDER: sets `erl`, the program, for Erlang in FOLDER, where its files are found by variables.
erlang_set_up() {
  export ROOTDIR=$1/usr/lib/erlang EMU=beam PROGNAME=$1/usr/lib/erlang/bin/erl
  BINDIR=$(echo "$ROOTDIR"/erts-*/bin)
  export BINDIR
  erl=$BINDIR/erlexec
  [ -x "$erl" ]
}

# A node neither starts nor asks the daemon `epmd`, which would outlive it. A single node has no distribution, so it
# needs no port for it. Nodes of a cluster have addresses of their own, and the same port each. The variables of the
# caller's Erlang are not for this one. Sets `erlang_flags`.
erlang_node() {
  local name=$1 address=$2 port=$3 is_cluster=$4 variable
  for variable in "${!RABBITMQ_@}" "${!ERL_@}" "${!EJABBERD_@}"; do unset "$variable"; done
  unset NOTIFY_SOCKET
  # For the cookie: a single node's is for nobody, a cluster's has to be one.
  export HOME=$PWD
  export ERL_CRASH_DUMP_SECONDS=0 ERL_MAX_PORTS=65536
  erlang_flags=(-noinput +W w +sbwt none +sbwtdcpu none +sbwtdio none)
  if [ "$is_cluster" = no ]; then
    cat > no_epmd.erl <<'ERLANG'
-module(no_epmd).
-export([start_link/0, names/1, port_please/2, register_node/2, address_please/3, listen_port_please/2]).
start_link() -> ignore.
names(_Host) -> {ok, []}.
port_please(_Name, _Host) -> {port, 1, 6}.
register_node(_Name, _Port) -> {ok, 1}.
address_please(_Name, _Host, _Family) -> {error, nxdomain}.
listen_port_please(_Name, _Host) -> {ok, 0}.
ERLANG
    # RabbitMQ starts an Erlang for a moment, which would start the daemon.
    export ERL_FLAGS="-dist_listen false"
    erlang_flags+=(-epmd_module no_epmd -erl_epmd_port 1
      -eval '{ok, Module, Code} = compile:file("no_epmd", [binary]), code:load_binary(Module, "no_epmd", Code).')
  else
    export ERL_FLAGS="-start_epmd false -erl_epmd_port $port"
    erlang_flags+=(-name "$name@$address" -setcookie "mqtt-wasi-$port"
      -kernel inet_dist_use_interface "{${address//./,}}" inet_dist_listen_min "$port" inet_dist_listen_max "$port")
  fi
}

# --- RabbitMQ ---

# Sets `home`, the folder that RabbitMQ's `plugins` are in, and `erl`: what was fetched, or else the machine's own.
rabbitmq_find() {
  local script
  for home in "$1"/usr/lib/rabbitmq/lib/rabbitmq_server-*; do
    [ -d "$home" ] && erlang_set_up "$1" && return
  done
  # What Debian has on the PATH only changes the user and calls the script in the second place.
  for script in "$(command -v rabbitmq-server || true)" /usr/lib/rabbitmq/bin/rabbitmq-server; do
    erl=$(command -v erl) && [ -x "$script" ] || continue
    home=$(dirname "$(dirname "$(readlink -f "$script")")")
    compgen -G "$home/plugins/rabbit-${1##*rabbitmq-}*" >/dev/null && return
  done
  return 1
}

rabbitmq_serve() {
  local folder=$1 address=$2 mqtt_port=$3 port=$4 web_port=$5 nodes=("${@:6}") is_cluster=no number=0 node
  local plugins=rabbitmq_mqtt
  rabbitmq_find "$folder"
  cat > rabbitmq.conf <<CONF
mqtt.listeners.tcp.1 = $address:$mqtt_port
anonymous_login_user = guest
anonymous_login_pass = guest
loopback_users = none
log.console = false
log.file = rabbitmq.log
CONF
  if [ "${#nodes[@]}" -gt 0 ]; then
    is_cluster=yes
    # Sessions are classic queues unless this is set, and those live on one node.
    printf 'listeners.tcp = none\nmqtt.durable_queue_type = quorum\n' >> rabbitmq.conf
    echo 'cluster_formation.peer_discovery_backend = classic_config' >> rabbitmq.conf
    for node in "${nodes[@]}"; do
      number=$((number + 1))
      echo "cluster_formation.classic_config.nodes.$number = rabbit@$node" >> rabbitmq.conf
    done
  else
    echo "listeners.tcp.1 = $address:$port" >> rabbitmq.conf
    printf 'web_mqtt.tcp.ip = %s\nweb_mqtt.tcp.port = %s\n' "$address" "$web_port" >> rabbitmq.conf
    plugins+=,rabbitmq_web_mqtt
  fi
  echo "[$plugins]." > enabled_plugins
  erlang_node rabbit "$address" "$port" "$is_cluster"
  export ERL_LIBS=$home/plugins RABBITMQ_HOME=$home RABBITMQ_CONF_ENV_FILE=/dev/null
  if [ "$is_cluster" = yes ]; then
    export RABBITMQ_NODENAME=rabbit@$address RABBITMQ_USE_LONGNAME=true RABBITMQ_DIST_PORT=$port
  else
    export RABBITMQ_NODENAME=mqtt-wasi-$mqtt_port@localhost
  fi
  export RABBITMQ_CONFIG_FILE=$PWD/rabbitmq.conf RABBITMQ_ADVANCED_CONFIG_FILE=$PWD/advanced.config
  export RABBITMQ_ENABLED_PLUGINS_FILE=$PWD/enabled_plugins RABBITMQ_PLUGINS_EXPAND_DIR=$PWD/plugins
  export RABBITMQ_MNESIA_BASE=$PWD/data RABBITMQ_LOG_BASE=$PWD/log
  # As RabbitMQ's own script starts it. Its banner goes to a file; why it does not start goes to stderr too.
  exec "$erl" "${erlang_flags[@]}" +B i -boot start_sasl \
    -os_mon start_memsup false start_cpu_sup false start_disksup false \
    -syslog logger '[]' -syslog syslog_error_logger false -kernel prevent_overlapping_partitions false \
    -s rabbit boot -eval 'io:format(standard_error, "running~n", []).' >banner
}

# --- ejabberd ---

ejabberd_find() {
  for home in "$1"/usr/lib/*-linux-*/ejabberd-[0-9]*; do
    [ -d "$home/ebin" ] && erlang_set_up "$1" && return
  done
  return 1
}

# Nodes join the first one, each after the one before it. To be evaluated in a node that runs.
ejabberd_join() {
  cat <<ERLANG
[First | _] = Nodes = [$(printf ",'ejabberd@%s'" "${nodes[@]}" | cut -c 2-)].
{Before, _} = lists:splitwith(fun(Node) -> Node =/= node() end, Nodes).
Running = fun() -> case rpc:call(First, mnesia, system_info, [running_db_nodes]) of {badrpc, _} -> []; Up -> Up end end.
Wait = fun Again() -> case Before -- Running() of [] -> ok; _ -> timer:sleep(200), Again() end end.
Wait().
node() =:= First orelse (ok = ejabberd_cluster:join(First)).
ERLANG
}

ejabberd_serve() {
  local folder=$1 address=$2 mqtt_port=$3 port=$4 web_port=$5 nodes=("${@:6}") is_cluster=no join=''
  ejabberd_find "$folder"
  cat > ejabberd.yml <<CONF
hosts: [localhost]
loglevel: warning
auth_method: [anonymous]
anonymous_protocol: login_anon
allow_multiple_connections: true
shaper_rules:
  max_user_sessions: 10000
listen:
  -
    ip: "$address"
    port: $mqtt_port
    module: mod_mqtt
    backlog: 1000
  -
    ip: "$address"
    port: $web_port
    module: ejabberd_http
    request_handlers:
      /mqtt: mod_mqtt
modules:
  mod_mqtt:
    max_queue: infinity
    max_topic_aliases: 100
CONF
  if [ "${#nodes[@]}" -gt 0 ]; then
    is_cluster=yes
    if [ ! -e data/schema.DAT ]; then ejabberd_join > join.erl; join='ok = file:eval("join.erl"),'; fi
  fi
  erlang_node ejabberd "$address" "$port" "$is_cluster"
  # ejabberd has no other way to run without its own script, which needs a user of its own.
  export ERL_LIBS=${home%/*} EJABBERD_CONFIG_PATH=$PWD/ejabberd.yml EJABBERD_LOG_PATH=$PWD/ejabberd.log
  mkdir -p data
  exec "$erl" "${erlang_flags[@]}" -mnesia dir "\"$PWD/data\"" -kernel prevent_overlapping_partitions false -s ejabberd \
    -eval "$join {ok, _} = application:ensure_all_started(ejabberd), io:format(standard_error, \"running~n\", [])." \
    >banner
}
