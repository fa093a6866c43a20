build run test check bench fuzz install test-clients test-crash clean:: ; @./dev $@
