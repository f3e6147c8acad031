%% A server of Erlang's TLS that passes on what comes to a port on loopback.
-module(tls_peer).
-export([main/3]).

%% Settings are strings, as `version=1.2`.
main(Port, Backend, Settings) ->
    {ok, _} = application:ensure_all_started(ssl),
    Options = [
        {ip, {127, 0, 0, 1}}, {reuseaddr, true}, {active, false}, {mode, binary}, {nodelay, true}, {backlog, 50},
        {certfile, "server.pem"}, {keyfile, "server.key"}, {log_level, none}
        | lists:flatmap(fun option/1, Settings)
    ],
    {ok, Listener} = ssl:listen(Port, Options ++ tickets(Settings)),
    accept(Listener, Backend, lists:member("records=small", Settings)).

option("version=1.2") -> [{versions, ['tlsv1.2']}];
option("version=1.3") -> [{versions, ['tlsv1.3']}];
option("group=P-384") -> [{supported_groups, [secp384r1]}, {eccs, [secp384r1]}];
option("clients=required") -> [{cacertfile, "clients.pem"}, {verify, verify_peer}, {fail_if_no_peer_cert, true}];
option("records=small") -> [].

%% Tickets are of 1.3; 1.2 has sessions by itself.
tickets(Settings) ->
    case lists:member("version=1.2", Settings) of
        true -> [];
        false -> [{session_tickets, stateful}]
    end.

accept(Listener, Backend, IsSmall) ->
    {ok, Client} = ssl:transport_accept(Listener),
    Serving = spawn(fun() -> receive go -> serve(Client, Backend, IsSmall) end end),
    ok = ssl:controlling_process(Client, Serving),
    Serving ! go,
    accept(Listener, Backend, IsSmall).

serve(Connection, Backend, IsSmall) ->
    case ssl:handshake(Connection, 10000) of
        {ok, Client} ->
            {ok, Broker} = gen_tcp:connect({127, 0, 0, 1}, Backend, [binary, {active, true}, {nodelay, true}]),
            ssl:setopts(Client, [{active, true}]),
            pass(Client, Broker, IsSmall);
        {error, _} ->
            ok
    end.

pass(Client, Broker, IsSmall) ->
    receive
        {ssl, _, Bytes} -> gen_tcp:send(Broker, Bytes), pass(Client, Broker, IsSmall);
        {tcp, _, Bytes} -> [ssl:send(Client, Part) || Part <- parts(Bytes, IsSmall)], pass(Client, Broker, IsSmall);
        _ -> gen_tcp:close(Broker), ssl:close(Client)
    end.

%% Each becomes a record.
parts(<<Part:100/binary, Rest/binary>>, true) when Rest =/= <<>> -> [Part | parts(Rest, true)];
parts(Bytes, _) -> [Bytes].
