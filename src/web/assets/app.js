// The page's life: one event stream while it is seen, one report now and then.
import {drawRates, drawReport, onSchemeChange} from "./charts.js";
import {History} from "./history.js";
import {showLink, showStatus, showSums} from "./view.js";

const REPORT_MS = 5000;
const history = new History();
let report = null, reportRuns = -1, reportTimer = 0, source = null;

function take(doc) {
	history.add(doc);
	showStatus(doc, history);
	drawRates(history);
	// A job has ended: the report may have changed.
	const runs = (doc.cluster?.jobs || []).reduce((n, j) => n + (j.successCount || 0), 0);
	if (reportRuns >= 0 && runs !== reportRuns) fetchReport();
	reportRuns = runs;
}

function showReport() {
	showSums(report, drawReport(report));
}
async function fetchReport() {
	try {
		const answer = await fetch("/api/report");
		if (!answer.ok) return;
		report = await answer.json();
		showReport();
	} catch {
		// The stream's state says that the server is away.
	}
}

function open() {
	source = new EventSource("/api/events");
	source.addEventListener("status", event => {
		take(JSON.parse(event.data));
		showLink("live", "good");
	});
	// The browser connects again by itself, except when it was answered with an error.
	source.addEventListener("error", () => {
		showLink("server is away", "bad");
		if (source?.readyState === EventSource.CLOSED) setTimeout(reopen, 2000);
	});
	fetchReport();
	reportTimer = setInterval(fetchReport, REPORT_MS);
}
function close() {
	source?.close();
	source = null;
	clearInterval(reportTimer);
}
function reopen() {
	close();
	if (!document.hidden) open();
}

// A page that nobody sees costs the server nothing.
document.addEventListener("visibilitychange", () => {
	if (document.hidden) {
		close();
		showLink("paused", "");
	} else {
		reopen();
	}
});
onSchemeChange(() => {
	if (history.samples.length) drawRates(history);
	showReport();
});
reopen();
