module smack/bench/http

go 1.19
