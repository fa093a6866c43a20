// The two charts, drawn by Chart.js: throughput over time, and the report as bars.
import {count, rate, short} from "./format.js";
import {fillTable, make, repeat, setText} from "./dom.js";

const SERIES = [["ingest", "events ingested"], ["stream", "records streamed"], ["store", "rows written"]];
const SECONDS = 300;
const BARS_MAX = 15, PLOTS_MAX = 3;

function color(name) {
	return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}
function ago(s) {
	return s === 0 ? "now" : -s % 60 === 0 ? `−${-s / 60} min` : `−${-s} s`;
}
function defaults() {
	Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
	Chart.defaults.font.size = 12;
	Chart.defaults.color = color("quiet");
	Chart.defaults.borderColor = color("line");
	Chart.defaults.animation = false;
	Chart.defaults.maintainAspectRatio = false;
	Chart.defaults.plugins.legend.display = false;
	Object.assign(Chart.defaults.plugins.tooltip, {backgroundColor: color("ink"), titleColor: color("card"), bodyColor: color("card")});
}

// ---- throughput ----

let rates = null;

function ratesChart() {
	return new Chart(document.getElementById("rates"), {
		type: "line",
		data: {datasets: SERIES.map(([name, label]) => ({label, data: [], borderColor: color(name), backgroundColor: color(name), borderWidth: 2, pointRadius: 0, tension: .2}))},
		options: {
			interaction: {mode: "index", intersect: false, axis: "x"},
			scales: {
				x: {type: "linear", min: -SECONDS, max: 0, grid: {display: false}, ticks: {stepSize: 60, callback: ago}},
				y: {beginAtZero: true, suggestedMax: 10, border: {display: false}, ticks: {maxTicksLimit: 6, callback: short}},
			},
			plugins: {tooltip: {callbacks: {
				title: items => ago(Math.round(items[0].parsed.x)),
				label: item => ` ${item.dataset.label}: ${rate(item.parsed.y)}/s`,
			}}},
		},
	});
}
export function drawRates(history) {
	rates ||= ratesChart();
	SERIES.forEach(([name], i) => {
		rates.data.datasets[i].data = history.series(s => s.rates[name], SECONDS).map(([x, y]) => ({x, y}));
	});
	const first = rates.data.datasets[0].data[0]?.x ?? 0;
	rates.options.scales.x.min = -Math.min(SECONDS, Math.max(60, Math.ceil(-first / 60) * 60));
	rates.options.scales.x.ticks.stepSize = first < -120 ? 60 : 15;
	rates.update();
	const last = history.samples.at(-1);
	repeat(document.getElementById("rates-legend"), SERIES, legendItem, (li, [name, label]) => {
		li.className = name;
		setText(li.children[1], label);
		setText(li.children[2], rate(last.rates[name]));
	});
}
function legendItem() {
	const li = make("li");
	li.append(make("i"), make("span"), make("b"));
	return li;
}

// ---- the report ----

let bars = [], shape = "";

// Which columns are figures; the first other one names the bar.
function columnsOf(report) {
	const numeric = report.columns.map((_, i) => report.rows.every(r => r[i] === null || typeof r[i] === "number") && report.rows.some(r => r[i] !== null));
	const label = numeric.indexOf(false);
	return {label, figures: numeric.flatMap((is, i) => is && i !== label ? [i] : [])};
}
// The value at each bar's end.
const valueLabels = {
	id: "valueLabels",
	afterDatasetsDraw(chart) {
		const {ctx} = chart;
		ctx.save();
		ctx.font = `600 12px ${Chart.defaults.font.family}`;
		ctx.fillStyle = color("ink");
		ctx.textBaseline = "middle";
		chart.getDatasetMeta(0).data.forEach((bar, i) => ctx.fillText(count(chart.data.datasets[0].data[i]), bar.x + 6, bar.y));
		ctx.restore();
	},
};
function barChart(canvas, hue, withLabels) {
	return new Chart(canvas, {
		type: "bar",
		data: {labels: [], datasets: [{data: [], backgroundColor: hue, borderRadius: 4, borderSkipped: "start", maxBarThickness: 18}]},
		options: {
			indexAxis: "y",
			layout: {padding: {right: 56}},
			scales: {
				x: {beginAtZero: true, display: false},
				// The same scale in every plot, so that the bars of a row stand on one line; only the first one's is wide enough to be read.
				y: {grid: {display: false, drawBorder: false}, afterFit: scale => { if (!withLabels) scale.width = 0; },
					ticks: {color: withLabels ? color("ink") : "transparent", autoSkip: false, callback(i) {
						const text = String(this.getLabelForValue(i));
						return text.length > 22 ? text.slice(0, 21) + "…" : text;
					}}},
			},
			plugins: {tooltip: {callbacks: {label: item => " " + count(item.parsed.x)}}},
		},
		plugins: [valueLabels],
	});
}
function layOut(report, figures, height) {
	for (const chart of bars) chart.destroy();
	const plots = document.getElementById("report-plots");
	plots.replaceChildren();
	bars = figures.map((column, i) => {
		const figure = make("figure"), plot = make("div", "plot"), canvas = make("canvas");
		plot.style.height = height + "px";
		canvas.setAttribute("role", "img");
		canvas.setAttribute("aria-label", report.columns[column] + " as bars; the table has the same figures");
		plot.append(canvas);
		figure.append(make("figcaption", "", report.columns[column]), plot);
		plots.append(figure);
		return barChart(canvas, color(i ? "store" : "report"), i === 0);
	});
}
// Returns the columns' sums for the pipeline, or null when there is nothing to show.
export function drawReport(report) {
	const shown = Boolean(report?.columns?.length && report.rows?.length);
	for (const id of ["report-plots", "report-details"]) document.getElementById(id).hidden = !shown;
	document.getElementById("report-empty").hidden = shown;
	setText(document.getElementById("report-note"), "");
	if (!shown) return null;
	const {label, figures} = columnsOf(report);
	const plotted = figures.slice(0, PLOTS_MAX);
	const rows = report.rows, top = rows.slice(0, BARS_MAX); // in the order of its SELECT
	if (rows.length > BARS_MAX) setText(document.getElementById("report-note"), `the first ${BARS_MAX} of ${count(rows.length)}; all in the table`);
	const next = JSON.stringify([report.columns, plotted, top.length]);
	if (next !== shape) layOut(report, plotted, Math.max(120, top.length * 34 + 10));
	shape = next;
	plotted.forEach((column, i) => {
		bars[i].data.labels = top.map((r, k) => label < 0 ? k + 1 : r[label]);
		bars[i].data.datasets[0].data = top.map(r => r[column]);
		bars[i].update();
	});
	fillReportTable(report, rows);
	return figures.map(i => [report.columns[i], report.rows.reduce((sum, r) => sum + (r[i] || 0), 0)]);
}
function fillReportTable(report, rows) {
	const table = document.getElementById("report-table");
	const numeric = report.columns.map((_, i) => typeof rows[0][i] === "number");
	repeat(table.tHead, [report.columns], () => make("tr"), (tr, names) => repeat(tr, names, () => make("th"), (th, name) => {
		th.className = numeric[names.indexOf(name)] ? "n" : "";
		setText(th, name);
	}));
	fillTable(table.tBodies[0], rows.map(r => r.map((v, i) => ({text: numeric[i] ? count(v) : v ?? "", cls: numeric[i] ? "n" : ""}))));
}

// Colours come from the style sheet: when the scheme changes the charts are made anew.
export function onSchemeChange(redraw) {
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
		defaults();
		rates?.destroy();
		rates = null;
		shape = "";
		redraw();
	});
}
defaults();
