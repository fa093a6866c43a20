// One status document onto the page: the pipeline, the scheduler, the lists.
import {bytes, count, duration, latency, rate, short, when} from "./format.js";
import {bind, fillTable, make, repeat, setClass, setText, spark} from "./dom.js";

const STALLED_MS = 30000;
const SPARK_S = 120;
const sum = (list, member) => (list || []).reduce((total, item) => total + (item[member] || 0), 0);
const $ = id => document.getElementById(id);

function showVitals(doc, rates) {
	bind("version", doc.version);
	bind("uptime", duration(doc.uptimeMs));
	bind("ready", doc.readyAfterMs.toFixed(doc.readyAfterMs < 10 ? 1 : 0) + " ms");
	bind("memory", bytes(doc.memoryBytes));
	bind("cpu", rates.cpu == null ? "–" : Math.round(rates.cpu * 100) + " %");
	bind("connections", count(doc.connections));
	bind("data", doc.data);
}

function showPipeline(doc, rates, history) {
	const topics = (doc.topics || []).filter(t => !t.internal), streams = doc.streams || [];
	bind("ingest.rate", rate(rates.ingest));
	bind("ingest.events", short(doc.ingest.events));
	bind("ingest.invalid", short(doc.ingest.invalid));
	bind("ingest.latency", latency(doc.ingest.latency));
	bind("log.rate", rate(rates.log));
	bind("log.records", short(sum(topics, "records")));
	bind("log.topics", count(topics.length));
	bind("log.latency", latency(doc.log.latency));
	bind("log.engine", doc.log.engine === "embedded" ? "Kafka" : `on ${doc.log.engine}`);
	bind("stream.rate", rate(rates.stream));
	bind("stream.batches", short(sum(streams, "batches")));
	bind("stream.duplicates", short(sum(streams, "duplicates")));
	bind("stream.dead", short(sum(streams, "deadLetters")));
	bind("stream.latency", latency(doc.batch));
	bind("store.rate", rate(rates.store));
	bind("store.tables", count((doc.tables || []).length));
	bind("store.latency", latency(doc.store.latency));
	bind("store.reads", rate(rates.read));
	bind("cql.latency", latency(doc.cql));
	const lag = sum(streams, "lag"), stalled = lag > 0 && history.still("stream") > STALLED_MS;
	bind("stream.lag", streams.length ? short(lag) + (stalled ? " · stalled" : "") : "no stream");
	setClass($("lag"), stalled ? "bad" : "");
	for (const edge of document.querySelectorAll("[data-flow]")) {
		const r = rates[edge.dataset.flow] || 0;
		setClass(edge, "edge" + (r > 0 ? " flows" : "") + (r > 2000 ? " fast" : ""));
	}
	for (const svg of document.querySelectorAll("[data-spark]")) {
		const name = svg.dataset.spark;
		const points = history.series(s => name === "memory" ? s.memory : s.rates[name], SPARK_S);
		spark(svg, points, Math.min(SPARK_S, Math.max(20, -(points[0]?.[0] ?? 0))));
	}
}

// ---- the scheduler ----

function appState(app) {
	if (app.running >= app.instances) return app.instances ? ["running", "good"] : ["suspended", ""];
	return app.lastError ? [app.running ? "some failed" : "waits to restart", "bad"] : ["starting", "warn"];
}
function jobState(job) {
	if (job.state === "running") return ["running", "good"];
	if (job.state === "waits to retry") return ["waits to retry", "bad"];
	if (job.state !== "idle") return [job.state, ""];
	if (job.errorsSinceLastSuccess > 0) return ["failed", "bad"];
	return [job.successCount ? "succeeded" : "scheduled", job.successCount ? "good" : ""];
}
function showScheduler(cluster, now) {
	const apps = cluster?.apps || [], jobs = cluster?.jobs || [], agent = cluster?.agent;
	const chips = [...apps.map(a => ["app " + a.id, ...appState(a)]), ...jobs.map(j => ["job " + j.name, ...jobState(j)])];
	const shown = chips.slice(0, 12);
	$("chips").querySelector(".note")?.remove();
	repeat($("chips"), shown, () => {
		const li = make("li");
		li.append(make("span"), make("span", "pill"));
		return li;
	}, (li, [name, state, cls]) => {
		setText(li.children[0], name);
		setText(li.children[1], state);
		setClass(li.children[1], "pill " + cls);
	});
	if (chips.length > shown.length) $("chips").append(make("li", "note quiet", `and ${chips.length - shown.length} more`));
	if (!chips.length) $("chips").append(make("li", "note quiet", "no app and no job"));
	bind("jobs.last", when(jobs.map(j => j.lastSuccess || "").sort().at(-1), now));
	if (!agent) return;
	meter($("agent-cpus"), agent.cpusUsed, agent.cpus);
	meter($("agent-mem"), agent.memUsed, agent.mem);
	bind("agent.cpus", `${+agent.cpusUsed.toFixed(1)} of ${+agent.cpus.toFixed(1)}`);
	bind("agent.mem", `${bytes(agent.memUsed * 1048576)} of ${bytes(agent.mem * 1048576)}`);
}
function meter(e, value, max) {
	e.max = max;
	e.value = value;
}

// ---- lists ----

const n = text => ({text, cls: "n"});
const names = member => (a, b) => a[member] < b[member] ? -1 : 1;

function withError(row, error) {
	return error ? [row, [{text: error, cls: "error", span: row.length}]] : [row];
}
function showLists(doc, history, now) {
	const apps = [...(doc.cluster?.apps || [])].sort(names("id")), jobs = [...(doc.cluster?.jobs || [])].sort(names("name"));
	fillTable($("apps").tBodies[0], apps.flatMap(a => {
		const [text, pill] = appState(a);
		return withError([a.id, {text, pill: pill || " "}, n(`${a.running} of ${a.instances}`), n(count(a.restarts))], a.lastError);
	}), "No apps. Send a Marathon document: smack app apply FILE");
	fillTable($("jobs").tBodies[0], jobs.flatMap(j => {
		const [text, pill] = jobState(j);
		const failed = j.errorsSinceLastSuccess > 0 || j.state === "waits to retry";
		return withError([{text: j.name, title: j.schedule}, {text, pill: pill || " "}, {text: when(j.lastSuccess, now), title: j.lastSuccess},
			{text: when(j.next, now), title: j.next}, n(count(j.successCount)), n(count(j.errorCount))], failed ? j.lastErrorMessage : "");
	}), "No jobs. Send a Chronos document: smack job apply FILE");
	const topics = [...(doc.topics || [])].sort((a, b) => a.internal - b.internal || names("name")(a, b));
	fillTable($("topics").tBodies[0], topics.map(t => [t.internal ? {text: t.name, cls: "quiet"} : t.name, n(count(t.partitions)), n(count(t.records)),
		n(rate(history.rate("topic " + t.name, 2500))), n(bytes(t.bytes))]), "No topics. Make one: smack topic create NAME");
	const system = k => /^system(_|$)|^smack_system$/.test(k);
	const tables = [...(doc.tables || [])].sort((a, b) => system(a.keyspace) - system(b.keyspace) || names("keyspace")(a, b));
	fillTable($("tables").tBodies[0], tables.map(t => [{text: t.keyspace, cls: "quiet"}, {text: t.name, cls: system(t.keyspace) ? "quiet" : "name"},
		n(count(t.columns))]), "No tables. Make one with CQL: smack cql");
}

// ---- addresses ----

function showTry(doc) {
	const topic = (doc.topics || []).find(t => !t.internal)?.name || "TOPIC";
	const table = (doc.tables || []).find(t => !/^(system|smack_system)/.test(t.keyspace));
	const cql = `SELECT * FROM ${table ? table.keyspace + "." + table.name : "KEYSPACE.TABLE"} LIMIT 10`;
	repeat($("try"), [
		["Send events by HTTP (one JSON document a line)", `curl -H 'Content-Type: application/x-ndjson' --data-binary @events.ndjson ${doc.url}/ingest/${topic}`],
		["Read the log with any Kafka client", `kcat -b ${doc.kafka} -C -t ${topic} -o -5 -e`],
		["Query the store with any CQL driver", `cqlsh -e '${cql}' ${doc.cqlHost} ${doc.cqlPort}`],
		["From this machine's command line", `smack status --data ${doc.data}`],
	], tryItem, (li, [what, command]) => {
		setText(li.children[0], what);
		setText(li.children[1], command);
	});
}
function tryItem() {
	const li = make("li"), code = make("code"), button = make("button", "", "Copy");
	button.type = "button";
	button.addEventListener("click", async () => {
		try {
			await navigator.clipboard.writeText(code.textContent);
			setText(button, "Copied");
		} catch {
			getSelection().selectAllChildren(code);
			setText(button, "Selected");
		}
		setTimeout(() => setText(button, "Copy"), 1500);
	});
	li.append(make("span"), code, button);
	return li;
}

// ---- all of it ----

export function showStatus(doc, history) {
	const rates = history.samples.at(-1).rates;
	showVitals(doc, rates);
	showPipeline(doc, rates, history);
	showScheduler(doc.cluster, Date.now());
	showLists(doc, history, Date.now());
	showTry(doc);
}
export function showSums(report, sums) {
	bind("report.rows", report?.rows ? count(report.rows.length) : "–");
	repeat($("report-sums"), (sums || []).slice(0, 3), () => {
		const div = make("div");
		div.append(make("dt"), make("dd"));
		return div;
	}, (div, [name, value]) => {
		setText(div.children[0], name);
		setText(div.children[1], short(value));
	});
}
export function showLink(text, cls) {
	setText($("link"), text);
	setClass($("link"), "pill " + cls);
}
