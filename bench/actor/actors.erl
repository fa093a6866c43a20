%% The twin in Erlang. main CELL N M WARM SECONDS THREADS: repeats the cell, first for WARM seconds, then for SECONDS, which are measured; one line
%% of JSON.
-module(actors).
-export([main/1]).

%% ---- ping-pong ----

pong() ->
    receive
        {ping, From} -> From ! pong, pong();
        stop -> ok
    end.

ping(_, 0) -> ok;
ping(To, N) ->
    To ! {ping, self()},
    receive pong -> ping(To, N - 1) end.

ping_pong(N, _) ->
    Pong = spawn(fun pong/0),
    ping(Pong, N),
    Pong ! stop,
    2 * N.

%% ---- counting ----

%% At most two windows are under way: who counts asks for the next one.
-define(WINDOW, 512).

count(Count, Main) ->
    receive
        increment when (Count + 1) rem ?WINDOW =:= 0 -> Main ! more, count(Count + 1, Main);
        increment -> count(Count + 1, Main);
        get -> Main ! {counted, Count}
    end.

send_many(_, 0) -> ok;
send_many(To, N) -> To ! increment, send_many(To, N - 1).

send_windows(To, 0) -> To ! get;
send_windows(To, Left) ->
    receive more -> ok end,
    Now = min(Left, ?WINDOW),
    send_many(To, Now),
    send_windows(To, Left - Now).

counting(N, _) ->
    Main = self(),
    Counter = spawn(fun() -> count(0, Main) end),
    First = min(N, 2 * ?WINDOW),
    send_many(Counter, First),
    send_windows(Counter, N - First),
    receive {counted, N} -> N end.

%% ---- thread ring ----

hop(Next, Main) ->
    receive
        {next, To} -> hop(To, Main);
        0 -> Main ! ended, hop(Next, Main);
        Left when is_integer(Left) -> Next ! Left - 1, hop(Next, Main);
        stop -> ok
    end.

thread_ring(N, M) ->
    Main = self(),
    Hops = [spawn(fun() -> hop(none, Main) end) || _ <- lists:seq(1, M)],
    [From ! {next, To} || {From, To} <- lists:zip(Hops, tl(Hops) ++ [hd(Hops)])],
    hd(Hops) ! N,
    receive ended -> ok end,
    [Hop ! stop || Hop <- Hops],
    N.

%% ---- big: each has at most one ping under way ----

big_next(Main, _, _, 0, _) -> Main ! done, -1;
big_next(_, _, _, Left, _) when Left < 0 -> Left;
big_next(_, All, M, Left, Random) -> element(1 + (Random bsr 8) rem M, All) ! {ping, self()}, Left - 1.

big_worker(Main, All, M, Left, Random) ->
    receive
        {ping, From} -> From ! pong, big_worker(Main, All, M, Left, Random);
        pong ->
            Next = (Random * 1103515245 + 12345) band 16#7fffffff,
            big_worker(Main, All, M, big_next(Main, All, M, Left, Next), Next);
        stop -> ok
    end.

big_start(Main, M, N, I) ->
    receive {all, All} -> big_worker(Main, All, M, big_next(Main, All, M, N, I * 7919), I * 7919) end.

big(N, M) ->
    Main = self(),
    Workers = [spawn(fun() -> big_start(Main, M, N, I) end) || I <- lists:seq(1, M)],
    All = list_to_tuple(Workers),
    [Worker ! {all, All} || Worker <- Workers],
    [receive done -> ok end || _ <- Workers],
    [Worker ! stop || Worker <- Workers],
    2 * N * M.

%% ---- creation ----

make(N, Main) -> [spawn(fun() -> receive go -> Main ! ended end end) || _ <- lists:seq(1, N)].

end_all(All) ->
    [One ! go || One <- All],
    [receive ended -> ok end || _ <- All],
    ok.

fork_join_create(N, _) ->
    end_all(make(N, self())),
    N.

create(N) ->
    erlang:garbage_collect(),
    Before = erlang:memory(total),
    Started = erlang:monotonic_time(nanosecond),
    All = make(N, self()),
    Took = erlang:monotonic_time(nanosecond) - Started,
    Bytes = (erlang:memory(total) - Before) div N,
    end_all(All),
    {Took / N, Bytes}.

%% ---- measuring ----

repeat(Cell, N, M, Seconds) -> repeat(Cell, N, M, round(Seconds * 1.0e9), erlang:monotonic_time(nanosecond), 0).

repeat(Cell, N, M, Least, Started, Messages) ->
    case erlang:monotonic_time(nanosecond) - Started of
        Took when Took >= Least -> {Messages, Took};
        _ -> repeat(Cell, N, M, Least, Started, Messages + in_one_of_its_own(Cell, N, M))
    end.

%% A process for each run: its heap goes with it.
in_one_of_its_own(Cell, N, M) ->
    Self = self(),
    spawn(fun() -> Self ! {messages, Cell(N, M)} end),
    receive {messages, Messages} -> Messages end.

%% User and system time of all threads, in seconds; the kernel's clock ticks 100 times a second.
cpu() ->
    {ok, Stat} = file:read_file("/proc/self/stat"),
    [_, Rest] = string:split(Stat, ")", trailing),
    Fields = string:lexemes(Rest, " "),
    (binary_to_integer(lists:nth(12, Fields)) + binary_to_integer(lists:nth(13, Fields))) / 100.

rss_kib() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Kib]} = re:run(Status, "VmHWM:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Kib).

number(Word) ->
    case string:to_float(Word) of
        {error, no_float} -> list_to_integer(Word);
        {Float, _} -> Float
    end.

run("create", N, _, _, _) ->
    create(N div 10),
    Used = cpu(),
    {Ns, Bytes} = create(N),
    io:format("{\"ns\": ~.2f, \"bytes\": ~b, \"cpu_s\": ~.3f, \"rss_kib\": ~b}~n", [Ns, Bytes, cpu() - Used, rss_kib()]);
run(Name, N, M, Warm, Seconds) ->
    Cell = case Name of
        "ping-pong" -> fun ping_pong/2;
        "counting" -> fun counting/2;
        "thread ring" -> fun thread_ring/2;
        "big" -> fun big/2;
        "fork-join create" -> fun fork_join_create/2
    end,
    repeat(Cell, N, M, Warm),
    Used = cpu(),
    {Messages, Took} = repeat(Cell, N, M, Seconds),
    io:format("{\"ns\": ~.2f, \"messages\": ~b, \"cpu_s\": ~.3f, \"rss_kib\": ~b}~n", [Took / Messages, Messages, cpu() - Used, rss_kib()]).

main([Name | Words]) ->
    [N, M, Warm, Seconds, Threads] = [number(Word) || Word <- Words],
    erlang:system_flag(schedulers_online, Threads),
    run(Name, N, M, Warm, Seconds),
    halt().
