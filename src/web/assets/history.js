// What the status documents said over the last minutes, and rates from their differences.
// Times are the server's own (uptimeMs), so a late document does not bend a rate.
const KEEP_MS = 310000;
const SPAN_MIN_MS = 500; // what two documents lie apart, for a rate

function sum(list, member) {
	return (list || []).reduce((total, item) => total + (item[member] || 0), 0);
}
function counters(doc) {
	const topics = doc.topics || [];
	const values = {
		ingest: doc.ingest?.events, log: sum(topics.filter(t => !t.internal), "appended"), stream: sum(doc.streams, "records"),
		store: doc.store?.writes, read: doc.store?.rowsRead, cpu: doc.cpuSeconds,
	};
	for (const t of topics) values["topic " + t.name] = t.appended;
	return values;
}

export class History {
	samples = []; // {at, values, memory, rates}, oldest first
	started = null;

	add(doc) {
		const last = this.samples.at(-1);
		if (this.started !== doc.pid || (last && doc.uptimeMs < last.at)) this.samples = []; // another process: its counters begin at nought
		else if (last && doc.uptimeMs === last.at) return;
		this.started = doc.pid;
		const sample = {at: doc.uptimeMs, values: counters(doc), memory: doc.memoryBytes, rates: {}};
		this.samples.push(sample);
		while (sample.at - this.samples[0].at > KEEP_MS) this.samples.shift();
		for (const name of ["ingest", "log", "read", "cpu"]) sample.rates[name] = this.rate(name, 2500);
		for (const name of ["stream", "store"]) sample.rates[name] = this.rate(name, 10000); // batches come at intervals, 10 s by default
	}
	// A second, over about the last ms; null with one sample.
	rate(name, ms) {
		const last = this.samples.at(-1);
		let i = this.samples.length - 2;
		while (i > 0 && last.at - this.samples[i].at < ms - 200) i--;
		const first = this.samples[i];
		if (!first || last.at - first.at < SPAN_MIN_MS || first.values[name] == null || last.values[name] == null) return null;
		return Math.max(0, (last.values[name] - first.values[name]) * 1000 / (last.at - first.at));
	}
	// [seconds ago (0 or less), value] of the last seconds.
	series(pick, seconds) {
		const end = this.samples.at(-1)?.at ?? 0;
		return this.samples.filter(s => end - s.at <= seconds * 1000).map(s => [(s.at - end) / 1000, pick(s)]).filter(p => p[1] != null);
	}
	// Milliseconds since the counter last moved.
	still(name) {
		const last = this.samples.at(-1);
		for (let i = this.samples.length - 2; i >= 0; i--)
			if (this.samples[i].values[name] !== last.values[name]) return last.at - this.samples[i + 1].at;
		return last ? last.at - this.samples[0].at : 0;
	}
}
