// The twin in CAF 0.17. caf CELL N M WARM SECONDS THREADS: repeats the cell, first for WARM seconds, then for SECONDS, which are measured;
// one line of JSON.
#include <caf/all.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

CAF_BEGIN_TYPE_ID_BLOCK(actors, first_custom_type_id)
  CAF_ADD_ATOM(actors, bench, serve_atom, "serve")
  CAF_ADD_ATOM(actors, bench, reply_atom, "reply")
  CAF_ADD_ATOM(actors, bench, go_atom, "go")
  CAF_ADD_ATOM(actors, bench, read_atom, "read")
  CAF_ADD_ATOM(actors, bench, ended_atom, "ended")
CAF_END_TYPE_ID_BLOCK(actors)

using namespace caf;
using namespace bench;
using steady = std::chrono::steady_clock;

static double seconds_since(steady::time_point t) { return std::chrono::duration<double>(steady::now() - t).count(); }

struct number_state {
  long number = 0;
};

struct work {
  actor_system &system;
  scoped_actor self{system};

  long ping_pong(long n, long) {
    auto pong = system.spawn([](event_based_actor *) -> behavior { return {[](serve_atom) { return reply_atom_v; }}; });
    auto ping = system.spawn([=](stateful_actor<number_state> *a) -> behavior {
      a->state.number = n;
      a->send(pong, serve_atom_v);
      return {[=](reply_atom) {
        if (--a->state.number == 0)
          a->quit();
        else
          a->send(pong, serve_atom_v);
      }};
    });
    self->wait_for(ping);
    anon_send_exit(pong, exit_reason::kill);
    return 2 * n;
  }

  // At most two windows are under way: who counts asks for the next one.
  static constexpr long window = 512;
  static void send_window(stateful_actor<number_state> *a, const actor &counter, long n, long count) {
    if (a->state.number == n)
      return;
    for (; count > 0 && a->state.number < n; count--, a->state.number++)
      a->send(counter, go_atom_v);
    if (a->state.number == n)
      a->send(counter, read_atom_v);
  }
  long counting(long n, long) {
    auto sender = system.spawn([=](stateful_actor<number_state> *a) -> behavior {
      actor main{a};
      auto counter = a->spawn([=](stateful_actor<number_state> *c) -> behavior {
        return {[=](go_atom) {
                  if (++c->state.number % window == 0)
                    c->send(main, ended_atom_v);
                },
                [=](read_atom) {
                  c->send(main, static_cast<int64_t>(c->state.number));
                  c->quit();
                }};
      });
      send_window(a, counter, n, 2 * window);
      return {[=](ended_atom) { send_window(a, counter, n, window); },
              [=](int64_t count) {
                if (count != n)
                  abort();
                a->quit();
              }};
    });
    self->wait_for(sender);
    return n;
  }

  struct hop_state {
    actor next;
  };
  long thread_ring(long n, long m) {
    actor main = self;
    std::vector<actor> hops;
    for (long i = 0; i < m; i++)
      hops.push_back(system.spawn([=](stateful_actor<hop_state> *a) -> behavior {
        return {[=](actor next) { a->state.next = std::move(next); },
                [=](int64_t left) {
                  if (left == 0)
                    a->send(main, ended_atom_v);
                  else
                    a->send(a->state.next, left - 1);
                }};
      }));
    for (long i = 0; i < m; i++)
      self->send(hops[static_cast<size_t>(i)], hops[static_cast<size_t>((i + 1) % m)]);
    self->send(hops[0], static_cast<int64_t>(n));
    self->receive([](ended_atom) {});
    for (auto &hop : hops)
      self->send_exit(hop, exit_reason::user_shutdown);
    return n;
  }

  // Each has at most one ping under way.
  struct big_state {
    std::vector<actor> all;
    uint64_t random = 0;
    long left = 0;
  };
  static void big_next(stateful_actor<big_state> *a, const actor &main) {
    auto &s = a->state;
    if (s.left-- == 0) {
      a->send(main, ended_atom_v);
      return;
    }
    s.random = s.random * 6364136223846793005u + 1442695040888963407u;
    a->send(s.all[(s.random >> 33) % s.all.size()], serve_atom_v, actor{a});
  }
  long big(long n, long m) {
    actor main = self;
    std::vector<actor> all;
    for (long i = 0; i < m; i++)
      all.push_back(system.spawn([=](stateful_actor<big_state> *a) -> behavior {
        a->state.random = static_cast<uint64_t>(i);
        a->state.left = n;
        return {[=](serve_atom, const actor &from) { a->send(from, reply_atom_v); }, [=](reply_atom) { big_next(a, main); },
                [=](const std::vector<actor> &others) {
                  a->state.all = others;
                  big_next(a, main);
                }};
      }));
    for (auto &one : all)
      self->send(one, all);
    for (long i = 0; i < m; i++)
      self->receive([](ended_atom) {});
    for (auto &one : all)
      self->send_exit(one, exit_reason::kill);
    return 2 * n * m;
  }

  std::vector<actor> make(long n) {
    actor main = self;
    std::vector<actor> all;
    all.reserve(static_cast<size_t>(n));
    for (long i = 0; i < n; i++)
      all.push_back(system.spawn([=](event_based_actor *a) -> behavior {
        return {[=](go_atom) {
          a->send(main, ended_atom_v);
          a->quit();
        }};
      }));
    return all;
  }
  void end(std::vector<actor> &all) {
    for (auto &one : all)
      self->send(one, go_atom_v);
    for (size_t i = 0; i < all.size(); i++)
      self->receive([](ended_atom) {});
  }
  long fork_join_create(long n, long) {
    auto all = make(n);
    end(all);
    return n;
  }

  static long resident() {
    long pages = 0, rss = 0;
    std::ifstream("/proc/self/statm") >> pages >> rss;
    return rss * sysconf(_SC_PAGESIZE);
  }
  std::pair<double, long> create(long n) {
    long before = resident();
    auto started = steady::now();
    auto all = make(n);
    double ns = seconds_since(started) * 1e9 / static_cast<double>(n);
    sleep(1); // they start behind their making
    long bytes = (resident() - before) / n;
    end(all);
    return {ns, bytes};
  }
};

static double cpu() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}
static long rss_kib() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_maxrss;
}

int main(int argc, char **argv) {
  if (argc != 7)
    return 2;
  actor_system_config config;
  config.add_message_types<id_block::actors>();
  config.set("scheduler.max-threads", static_cast<unsigned>(atoi(argv[6])));
  actor_system system{config};
  work w{system};
  const std::string name = argv[1];
  const long n = atol(argv[2]), m = atol(argv[3]);
  if (name == "create") {
    double used = cpu();
    auto [ns, bytes] = w.create(n);
    printf("{\"ns\": %.2f, \"bytes\": %ld, \"cpu_s\": %.3f, \"rss_kib\": %ld}\n", ns, bytes, cpu() - used, rss_kib());
    return 0;
  }
  const std::map<std::string, long (work::*)(long, long)> cells = {{"ping-pong", &work::ping_pong},
                                                                   {"counting", &work::counting},
                                                                   {"thread ring", &work::thread_ring},
                                                                   {"big", &work::big},
                                                                   {"fork-join create", &work::fork_join_create}};
  auto cell = cells.at(name);
  for (auto started = steady::now(); seconds_since(started) < atof(argv[4]);)
    (w.*cell)(n, m);
  double used = cpu();
  long messages = 0;
  auto started = steady::now();
  while (seconds_since(started) < atof(argv[5]))
    messages += (w.*cell)(n, m);
  printf("{\"ns\": %.2f, \"messages\": %ld, \"cpu_s\": %.3f, \"rss_kib\": %ld}\n", seconds_since(started) * 1e9 / static_cast<double>(messages),
         messages, cpu() - used, rss_kib());
}
