// The page's elements. Names come from users: they reach the page as text only, never as markup.
export function make(tag, className, text) {
	const e = document.createElement(tag);
	if (className) e.className = className;
	if (text != null) e.textContent = text;
	return e;
}
export function setText(e, text) {
	if (e.textContent !== text) e.textContent = text;
}
export function setClass(e, name) {
	if (e.className !== name) e.className = name;
}

const bound = new Map();
for (const e of document.querySelectorAll("[data-bind]")) bound.set(e.dataset.bind, e);
export function bind(name, text) {
	setText(bound.get(name), text);
}

// Bring the children of parent to the length of items, then update each in place: nothing flickers, and a selection stays.
export function repeat(parent, items, create, update) {
	while (parent.children.length > items.length) parent.lastElementChild.remove();
	items.forEach((item, i) => {
		const child = parent.children[i] || parent.appendChild(create());
		update(child, item);
	});
}

// rows: arrays of cells; a cell is a text or {text, cls, pill, title, span}. More than ROWS_MAX are counted, not shown.
const ROWS_MAX = 200;
export function fillTable(body, rows, none) {
	const columns = body.parentElement.tHead.rows[0]?.cells.length || 1;
	let shown = rows.slice(0, ROWS_MAX);
	if (rows.length > ROWS_MAX) shown.push([{text: `and ${rows.length - ROWS_MAX} more`, cls: "quiet", span: columns}]);
	if (!rows.length && none) shown = [[{text: none, cls: "quiet", span: columns}]];
	repeat(body, shown, () => make("tr"), (row, cells) => repeat(row, cells, () => make("td"), fillCell));
}
function fillCell(td, cell) {
	const c = typeof cell === "object" ? cell : {text: cell};
	setClass(td, c.cls || "");
	td.colSpan = c.span || 1;
	td.title = c.title || "";
	let target = td;
	if (c.pill) {
		if (td.firstElementChild?.tagName !== "SPAN") td.replaceChildren(make("span"));
		target = td.firstElementChild;
		setClass(target, "pill " + c.pill);
	} else if (td.firstElementChild) {
		td.replaceChildren();
	}
	setText(target, String(c.text));
}

const SVG = "http://www.w3.org/2000/svg";
// points: [x, y], x from -span to 0.
export function spark(svg, points, span) {
	if (!svg.firstChild) {
		svg.setAttribute("viewBox", "0 0 100 30");
		svg.setAttribute("preserveAspectRatio", "none");
		for (const name of ["area", "curve"]) svg.appendChild(document.createElementNS(SVG, "path")).setAttribute("class", name);
	}
	const max = Math.max(1e-9, ...points.map(p => p[1]));
	const line = points.map(([x, y]) => `${(100 + x * 100 / span).toFixed(1)} ${(29 - y / max * 27).toFixed(1)}`);
	const [area, curve] = svg.children;
	curve.setAttribute("d", line.length > 1 ? "M" + line.join("L") : "");
	area.setAttribute("d", line.length > 1 ? `M${line[0].split(" ")[0]} 30L${line.join("L")}L100 30Z` : "");
}
