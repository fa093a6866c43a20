module smack/bench/actor

go 1.19
