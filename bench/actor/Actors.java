import com.typesafe.config.ConfigFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.function.BiFunction;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.Props;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;

/* The twin in Pekko typed. main CELL N M WARM SECONDS THREADS: repeats the cell, first for WARM seconds, then for SECONDS, which are measured;
 * one line of JSON. As many messages before an actor yields as smack's (64; Pekko's default is 5). */
public class Actors {
	interface Cell {
		long run(int n, int m) throws Exception;
	}

	record Ping(ActorRef<Object> from) {}

	private static final Object PONG = new Object(), GO = new Object();
	private static final String CONFIG = """
			pekko.loglevel = OFF
			pekko.stdout-loglevel = OFF
			pekko.log-dead-letters = 0
			pekko.actor.default-dispatcher.throughput = 64
			pekko.actor.default-dispatcher.fork-join-executor { parallelism-min = THREADS, parallelism-max = THREADS }
			""";
	private static ActorSystem<Object> system;
	private static long spawned;

	private static ActorRef<Object> spawn(Behavior<Object> behavior) {
		return system.systemActorOf(behavior, "a" + spawned++, Props.empty());
	}

	/* receive says whether it goes on. */
	private static Behavior<Object> actor(BiFunction<ActorContext<Object>, Object, Boolean> receive) {
		return Behaviors.setup(self -> Behaviors.receiveMessage(
				message -> receive.apply(self, message) ? Behaviors.same() : Behaviors.stopped()));
	}

	private static long pingPong(int n, int m) throws Exception {
		CountDownLatch ended = new CountDownLatch(1);
		spawn(Behaviors.setup(self -> {
			ActorRef<Object> pong = self.spawnAnonymous(actor((context, message) -> {
				((Ping) message).from().tell(PONG);
				return true;
			}));
			int[] left = {n};
			Ping ping = new Ping(self.getSelf());
			pong.tell(ping);
			return Behaviors.receiveMessage(message -> {
				if (--left[0] == 0) {
					ended.countDown();
					return Behaviors.stopped();
				}
				pong.tell(ping);
				return Behaviors.same();
			});
		}));
		ended.await();
		return 2L * n;
	}

	private static final int WINDOW = 512;

	/* At most two windows are under way: who counts asks for the next one. */
	private static long counting(int n, int m) throws Exception {
		CountDownLatch ended = new CountDownLatch(1);
		spawn(Behaviors.setup(self -> {
			int[] count = {0}, sent = {0};
			ActorRef<Object> counter = self.spawnAnonymous(actor((context, message) -> {
				if (message != GO)
					((Ping) message).from().tell(count[0]);
				else if (++count[0] % WINDOW == 0)
					self.getSelf().tell(PONG);
				return true;
			}));
			sendWindow(counter, self.getSelf(), sent, n, 2 * WINDOW);
			return Behaviors.receiveMessage(message -> {
				if (message == PONG) {
					sendWindow(counter, self.getSelf(), sent, n, WINDOW);
					return Behaviors.same();
				}
				if ((Integer) message != n)
					throw new IllegalStateException("counted wrong");
				ended.countDown();
				return Behaviors.stopped();
			});
		}));
		ended.await();
		return n;
	}

	private static void sendWindow(ActorRef<Object> counter, ActorRef<Object> self, int[] sent, int n, int count) {
		if (sent[0] == n)
			return;
		for (; count > 0 && sent[0] < n; count--, sent[0]++)
			counter.tell(GO);
		if (sent[0] == n)
			counter.tell(new Ping(self));
	}

	private static long threadRing(int n, int m) throws Exception {
		CountDownLatch ended = new CountDownLatch(1);
		@SuppressWarnings("unchecked")
		ActorRef<Object>[] hops = new ActorRef[m];
		ActorRef<Object> main = spawn(Behaviors.setup(self -> {
			for (int i = 0; i < m; i++) {
				int next = (i + 1) % m;
				hops[i] = self.spawnAnonymous(actor((context, message) -> {
					int left = (Integer) message;
					if (left == 0)
						self.getSelf().tell(GO);
					else
						hops[next].tell(left - 1);
					return true;
				}));
			}
			hops[0].tell(n);
			return Behaviors.receiveMessage(message -> {
				ended.countDown();
				return Behaviors.stopped();
			});
		}));
		ended.await();
		return n;
	}

	/* Each has at most one ping under way. */
	private static long big(int n, int m) throws Exception {
		CountDownLatch done = new CountDownLatch(m);
		@SuppressWarnings("unchecked")
		ActorRef<Object>[] workers = new ActorRef[m];
		CountDownLatch made = new CountDownLatch(1);
		ActorRef<Object> main = spawn(Behaviors.setup(self -> {
			for (int i = 0; i < m; i++) {
				long[] random = {i};
				int[] left = {n};
				workers[i] = self.spawnAnonymous(actor((context, message) -> {
					if (message instanceof Ping ping) {
						ping.from().tell(PONG);
					} else if (left[0]-- == 0) {
						done.countDown();
					} else {
						random[0] = random[0] * 6364136223846793005L + 1442695040888963407L;
						workers[(int) ((random[0] >>> 33) % m)].tell(new Ping(context.getSelf()));
					}
					return true;
				}));
			}
			made.countDown();
			return Behaviors.receiveMessage(message -> Behaviors.stopped());
		}));
		made.await();
		for (ActorRef<Object> worker : workers)
			worker.tell(GO);
		done.await();
		main.tell(GO);
		return 2L * n * m;
	}

	private static ActorRef<Object> makeMany(int n, ActorRef<Object>[] all, CountDownLatch made, CountDownLatch ended) {
		return spawn(Behaviors.setup(self -> {
			for (int i = 0; i < n; i++)
				all[i] = self.spawnAnonymous(actor((context, message) -> {
					ended.countDown();
					return false;
				}));
			made.countDown();
			return Behaviors.receiveMessage(message -> Behaviors.stopped());
		}));
	}

	@SuppressWarnings("unchecked")
	private static long forkJoinCreate(int n, int m) throws Exception {
		CountDownLatch made = new CountDownLatch(1), ended = new CountDownLatch(n);
		ActorRef<Object>[] all = new ActorRef[n];
		ActorRef<Object> main = makeMany(n, all, made, ended);
		made.await();
		for (ActorRef<Object> one : all)
			one.tell(GO);
		ended.await();
		main.tell(GO);
		return n;
	}

	private static long heap() throws Exception {
		for (int i = 0; i < 3; i++) {
			System.gc();
			Thread.sleep(300);
		}
		return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
	}

	/* n that live at the same time: ns and bytes of the heap each. */
	@SuppressWarnings("unchecked")
	private static double[] create(int n) throws Exception {
		long before = heap();
		CountDownLatch made = new CountDownLatch(1), ended = new CountDownLatch(n);
		ActorRef<Object>[] all = new ActorRef[n];
		long started = System.nanoTime();
		ActorRef<Object> main = makeMany(n, all, made, ended);
		made.await();
		double ns = (System.nanoTime() - started) / (double) n;
		double bytes = (heap() - before) / (double) n;
		for (ActorRef<Object> one : all)
			one.tell(GO);
		ended.await();
		main.tell(GO);
		return new double[] {ns, bytes};
	}

	private static double cpu() {
		return ((com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean())
				.getProcessCpuTime() / 1e9;
	}

	private static long rssKib() throws Exception {
		for (String line : Files.readAllLines(Path.of("/proc/self/status")))
			if (line.startsWith("VmHWM:"))
				return Long.parseLong(line.replaceAll("[^0-9]", ""));
		return 0;
	}

	public static void main(String[] words) throws Exception {
		int n = Integer.parseInt(words[1]), m = Integer.parseInt(words[2]);
		double warm = Double.parseDouble(words[3]) * 1e9, seconds = Double.parseDouble(words[4]) * 1e9;
		system = ActorSystem.create(Behaviors.empty(), "actors", ConfigFactory.parseString(CONFIG.replace("THREADS", words[5])).withFallback(ConfigFactory.load()));
		if (words[0].equals("create")) {
			for (int i = 0; i < 3; i++)
				create(n / 10);
			double used = cpu();
			double[] result = create(n);
			System.out.printf("{\"ns\": %.2f, \"bytes\": %.0f, \"cpu_s\": %.3f, \"rss_kib\": %d}%n", result[0], result[1], cpu() - used, rssKib());
			System.exit(0);
		}
		Cell cell = switch (words[0]) {
			case "ping-pong" -> Actors::pingPong;
			case "counting" -> Actors::counting;
			case "thread ring" -> Actors::threadRing;
			case "big" -> Actors::big;
			case "fork-join create" -> Actors::forkJoinCreate;
			default -> throw new IllegalArgumentException(words[0]);
		};
		long started = System.nanoTime(), messages = 0;
		while (System.nanoTime() - started < warm)
			cell.run(n, m);
		double used = cpu();
		started = System.nanoTime();
		while (System.nanoTime() - started < seconds)
			messages += cell.run(n, m);
		System.out.printf("{\"ns\": %.2f, \"messages\": %d, \"cpu_s\": %.3f, \"rss_kib\": %d}%n", (System.nanoTime() - started) / (double) messages,
				messages, cpu() - used, rssKib());
		System.exit(0);
	}
}
