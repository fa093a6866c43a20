// Figures as text. Everything here is pure.
const whole = new Intl.NumberFormat("en");

export function count(n) {
	return n == null ? "–" : whole.format(Math.round(n));
}
// Short enough for a node: 12,345 and 1.2 M.
export function short(n) {
	if (n == null) return "–";
	return n < 1e6 ? count(n) : n < 1e9 ? (n / 1e6).toFixed(2) + " M" : (n / 1e9).toFixed(2) + " G";
}
export function rate(n) {
	if (n == null) return "–";
	return n > 0 && n < 9.95 ? n.toFixed(1) : short(n);
}
export function bytes(n) {
	if (n == null) return "–";
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let i = 0;
	for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
	return (i && n < 99.95 ? n.toFixed(1) : Math.round(n)) + " " + units[i];
}
export function duration(ms) {
	if (ms == null) return "–";
	const s = Math.floor(ms / 1000);
	if (s < 60) return s + " s";
	if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
	if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s / 60) % 60 + " min";
	return Math.floor(s / 86400) + " d " + Math.floor(s / 3600) % 24 + " h";
}
function micro(us) {
	return us < 1000 ? [us, "µs"] : us < 1e6 ? [us / 1000, "ms"] : [us / 1e6, "s"];
}
function figure(n) {
	return n < 9.95 ? String(Math.round(n * 10) / 10) : String(Math.round(n));
}
// "1.2 / 8 ms": median and 99th percentile. A figure is not parted from its unit.
export function latency(l) {
	if (!l || !l.count) return "–";
	const [a, unit] = micro(l.p50us), [b, unit2] = micro(l.p99us);
	return figure(a) + (unit === unit2 ? "" : "\u00a0" + unit) + " / " + figure(b) + "\u00a0" + unit2;
}
export function when(text, now) {
	const at = Date.parse(text);
	if (!text || isNaN(at)) return "–";
	const ms = at - now;
	return ms > 0 ? "in " + duration(ms) : duration(-ms) + " ago";
}
