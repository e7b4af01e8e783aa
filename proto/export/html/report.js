/* A heap profile as a page: the head, a flame graph of the stacks, a table of them.
 *
 * By hand on a canvas: what Debian 12 has for drawing (libjs-d3, of version 3) makes a DOM node of
 * each box, and a profile of 50,000 stacks has some hundred thousand. Names come from the process
 * that was watched: they become text (textContent, fillText) and never markup.
 *
 * The data is what html.c describes. A stack is a row; a column has a figure of each row. Columns
 * that can be added up over rows are metrics: each that is there can be chosen, without a word about
 * it here.
 */
"use strict";

const ROW_PIXELS = 20;
const LEAST_PIXELS = 1; // what is narrower is not drawn
const MOST_PIXELS = 16384; // of a canvas, in height: browsers draw none that is much larger
const ROWS_AT_ONCE = 100;
const SEARCH_PAUSE_MS = 150;

const data = JSON.parse(document.getElementById("data").textContent);
const byId = id => document.getElementById(id);
const metrics = data.columns.filter(column => column.is_sum);

/* ---- text ------------------------------------------------------------------------------------ */

/* An element with text or other elements in it. */
function make(tag, className, ...children) {
	const element = document.createElement(tag);

	if (className)
		element.className = className;
	element.append(...children.filter(child => child !== null && child !== undefined));
	return element;
}

const count = number => number.toLocaleString("en-US");

/* As dhatctl has it: "979 KiB", "1.5 MiB" */
function size(bytes) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
	let value = Math.abs(bytes), unit = 0;

	while (value >= 1023.95 && unit + 1 < units.length) {
		value /= 1024;
		unit++;
	}
	return (bytes < 0 ? "-" : "") +
		(unit ? value.toFixed(value < 99.95 ? 1 : 0) : String(value)) + " " + units[unit];
}

function duration(ms) {
	const s = Math.floor(ms / 1000);

	if (ms < 1)
		return `${(1000 * ms).toFixed(0)} us`;
	if (s < 1)
		return `${ms.toFixed(1)} ms`;
	if (s < 60)
		return `${(ms / 1000).toFixed(1)} s`;
	if (s < 3600)
		return `${Math.floor(s / 60)} min ${s % 60} s`;
	if (s < 86400)
		return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
	return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

/* In UTC: who reads it may sit elsewhere. */
const moment = ms => new Date(ms).toISOString().replace("T", " ").replace(/\.\d+Z/, " UTC");

const noun = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
const figure = (number, unit) => unit === "bytes" ? size(number) : count(number);

/* "2.6 MiB (2,711,904 bytes)", "6,396 blocks"; a change has its sign. */
function wholeFigure(number, unit) {
	const sign = data.is_difference && number > 0 ? "+" : "";

	if (unit !== "bytes")
		return sign + count(number) + " " + (Math.abs(number) === 1 ? unit.replace(/s$/, "") : unit);
	return Math.abs(number) < 1024 ? `${sign}${noun(number, "byte")}`
		: `${sign}${size(number)} (${count(number)} bytes)`;
}

/* Of a whole that is not 0. */
function share(part, whole) {
	const percent = 100 * part / whole, least = 0.01;

	if (part && Math.abs(percent) < least)
		return part < 0 ? `>-${least}%` : `<${least}%`;
	return whole ? percent.toFixed(Math.abs(percent) < 10 && percent ? 2 : 1) + "%" : "";
}

/* ---- frames: four numbers each in data.frames ------------------------------------------------ */

const FRAME_NUMBERS = 4;
const frameCount = data.frames.length / FRAME_NUMBERS;
const nameOf = frame => data.strings[data.frames[FRAME_NUMBERS * frame]];
const fileOf = frame => data.strings[data.frames[FRAME_NUMBERS * frame + 1]];
const lineOf = frame => data.frames[FRAME_NUMBERS * frame + 2];
const isOwn = frame => data.frames[FRAME_NUMBERS * frame + 3] === 1;
const placeOf = frame => fileOf(frame) + (lineOf(frame) ? `:${lineOf(frame)}` : "");
/* Frames of one function: the same name in the same file. */
const functionOf = numberFunctions();

function numberFunctions() {
	const numbers = new Int32Array(frameCount), known = new Map();

	for (let frame = 0; frame < frameCount; frame++) {
		const key = data.frames[FRAME_NUMBERS * frame] * data.strings.length +
			data.frames[FRAME_NUMBERS * frame + 1];

		if (!known.has(key))
			known.set(key, frame);
		numbers[frame] = known.get(key);
	}
	return numbers;
}

/* ---- stacks ---------------------------------------------------------------------------------- */

/* From "so many frames as the one before, so many more: these" to all frames of each, outermost
 * first: those of row i are frames[starts[i]] to frames[starts[i + 1] - 1]. */
function readStacks(packed) {
	let rows = 0, length = 0, fresh = 0, depth = 0;

	for (let at = 0; at < packed.length; at += 2 + packed[at + 1]) {
		length += packed[at] + packed[at + 1];
		fresh += packed[at + 1];
		depth = Math.max(depth, packed[at] + packed[at + 1]);
		rows++;
	}
	const stacks = { rows, fresh, depth, frames: new Int32Array(length), starts: new Int32Array(rows + 1),
		shared: new Int32Array(rows) };
	let row = 0, out = 0;

	for (let at = 0; at < packed.length; row++) {
		const shared = packed[at++], more = packed[at++];
		const before = row ? stacks.starts[row - 1] : 0;

		stacks.starts[row] = out;
		stacks.shared[row] = shared;
		stacks.frames.copyWithin(out, before, before + shared);
		out += shared;
		for (let i = 0; i < more; i++)
			stacks.frames[out++] = packed[at++];
	}
	stacks.starts[rows] = out;
	return stacks;
}

const stacks = readStacks(data.stacks);

/* The innermost frame of one's own code; there is none: the innermost one. */
function siteOf(row) {
	const first = stacks.starts[row], end = stacks.starts[row + 1];

	for (let at = end - 1; at >= first; at--)
		if (isOwn(stacks.frames[at]))
			return stacks.frames[at];
	return stacks.frames[end - 1];
}

const siteOfRow = Int32Array.from({ length: stacks.rows }, (_, row) => siteOf(row));

/* ---- the tree: node 0 is the whole, and a parent's number is below its children's -------------- */

/* Children by parent and key: open addressing, at most half full. */
class Children {
	constructor(room) {
		let slots = 64;

		while (slots < 2 * room)
			slots *= 2;
		this.mask = slots - 1;
		this.nodes = new Int32Array(slots); // 0: free
	}

	/* The slot of that child, which is free or holds it. */
	find(tree, parent, key) {
		let slot = (Math.imul(parent, 0x9e3779b1) ^ Math.imul(key + 1, 0x85ebca6b)) >>> 0;

		slot = (slot ^ slot >>> 15) & this.mask;
		while (this.nodes[slot] && (tree.parent[this.nodes[slot]] !== parent ||
				tree.key[this.nodes[slot]] !== key))
			slot = slot + 1 & this.mask;
		return slot;
	}
}

/* order "callers": outermost frames at the top; "sites": innermost ones. */
function buildTree(order, boxes) {
	const isInverted = order === "sites";
	const room = (isInverted ? stacks.frames.length : stacks.fresh) + 1;
	const tree = { parent: new Int32Array(room), frame: new Int32Array(room), key: new Int32Array(room),
		depth: new Int32Array(room), leaf: new Int32Array(stacks.rows), size: 1 };
	const children = new Children(room), path = new Int32Array(stacks.depth + 1);

	for (let row = 0; row < stacks.rows; row++) {
		const first = stacks.starts[row], length = stacks.starts[row + 1] - first;

		for (let i = isInverted ? 0 : stacks.shared[row]; i < length; i++) {
			const frame = stacks.frames[isInverted ? first + length - 1 - i : first + i];
			const key = boxes === "line" ? frame : functionOf[frame];
			const slot = children.find(tree, path[i], key);

			if (!children.nodes[slot]) {
				tree.parent[tree.size] = path[i];
				tree.frame[tree.size] = frame;
				tree.key[tree.size] = key;
				tree.depth[tree.size] = i + 1;
				children.nodes[slot] = tree.size++;
			}
			path[i + 1] = children.nodes[slot];
		}
		tree.leaf[row] = path[length];
	}
	listChildren(tree);
	return tree;
}

/* Those of a node are childList[childStart[node]] to childList[childStart[node + 1] - 1]. */
function listChildren(tree) {
	const start = tree.childStart = new Int32Array(tree.size + 1);

	tree.childList = new Int32Array(tree.size);
	for (let node = 1; node < tree.size; node++)
		start[tree.parent[node] + 1]++;
	for (let node = 0; node < tree.size; node++)
		start[node + 1] += start[node];
	const next = start.slice();

	for (let node = 1; node < tree.size; node++)
		tree.childList[next[tree.parent[node]]++] = node;
}

/* What stands behind a node: its figure, and its width, which is another where figures have signs. */
function addUp(tree, values) {
	const sum = new Float64Array(tree.size), width = new Float64Array(tree.size);

	for (let row = 0; row < stacks.rows; row++) {
		sum[tree.leaf[row]] += values[row];
		width[tree.leaf[row]] += Math.abs(values[row]);
	}
	for (let node = tree.size - 1; node > 0; node--) {
		sum[tree.parent[node]] += sum[node];
		width[tree.parent[node]] += width[node];
	}
	return { sum, width };
}

/* ---- what is shown --------------------------------------------------------------------------- */

const state = { metric: metrics[data.shown], order: "callers", boxes: "function", root: 0, selected: 0,
	skipped: 0, // children of the root that are not shown, the widest ones: to see the others
	sortBy: data.columns.indexOf(metrics[data.shown]), isAscending: false, rowLimit: ROWS_AT_ONCE };
const trees = new Map();
let tree, figures, sorted; // of what is shown; sorted: node to its children, widest first
let matching = null; // of each frame: does it match the search? null: nothing is searched
let boxes = []; // drawn ones by depth, from left to right

function chooseTree() {
	const name = state.order + state.boxes;

	if (!trees.has(name))
		trees.set(name, buildTree(state.order, state.boxes));
	tree = trees.get(name);
	state.root = state.selected = state.skipped = 0;
}

function chooseFigures() {
	figures = addUp(tree, state.metric.values);
	sorted = new Map();
}

function childrenOf(node) {
	let list = sorted.get(node);

	if (!list) {
		list = tree.childList.slice(tree.childStart[node], tree.childStart[node + 1])
			.filter(child => figures.width[child]).sort((a, b) => figures.width[b] - figures.width[a]);
		sorted.set(node, list);
	}
	return list;
}

const labelOf = node => node ? nameOf(tree.frame[node]) : "all stacks";

function placeOfNode(node) {
	if (!node)
		return "";
	return state.boxes === "line" ? placeOf(tree.frame[node]) : fileOf(tree.frame[node]);
}

/* Lines for a person: what a box stands for. */
function describe(node) {
	const unit = state.metric.unit, whole = figures.width[0], parent = tree.parent[node];
	const lines = [`${state.metric.label}: ${wholeFigure(figures.sum[node], unit)}, ` +
		`${share(figures.sum[node], whole)} of ${data.is_difference ? "all change" : "all"}`];
	let inner = 0;

	for (const child of childrenOf(node))
		inner += figures.sum[child];
	if (parent)
		lines.push(`${share(figures.sum[node], figures.width[parent])} of ${nameOf(tree.frame[parent])}`);
	if (node && childrenOf(node).length && figures.sum[node] !== inner)
		lines.push(`${wholeFigure(figures.sum[node] - inner, unit)} ` +
			(state.order === "sites" ? "begins here" : "allocated here itself"));
	return lines;
}

/* ---- the graph ------------------------------------------------------------------------------- */

const canvas = byId("graph"), context = canvas.getContext("2d");
const isDark = matchMedia("(prefers-color-scheme: dark)");
let isPrinting = false;

/* Of a file: one's own code is warm, each file another shade. */
function hueOf(frame) {
	let hash = 0;

	for (const character of fileOf(frame))
		hash = Math.imul(hash, 31) + character.codePointAt(0) | 0;
	return 18 + (hash >>> 0) % 38;
}

const LIGHT = { page: "#ffffff", text: "#1b1f24", frame: "#ffffff", other: "hsl(210 16% 84%)", match: "hsl(285 70% 80%)",
	more: "hsl(210 8% 72%)", selected: "#0b62c4", own: hue => `hsl(${hue} 88% 74%)`, all: "hsl(210 10% 90%)",
	grown: part => `hsl(12 85% ${92 - 26 * part}%)`, shrunk: part => `hsl(212 80% ${92 - 24 * part}%)` };
const DARK = { page: "#15181c", text: "#f2f4f6", frame: "#15181c", other: "hsl(210 13% 31%)", match: "hsl(285 45% 46%)",
	more: "hsl(210 8% 42%)", selected: "#6cb0ff", own: hue => `hsl(${hue} 62% 34%)`, all: "hsl(210 10% 24%)",
	grown: part => `hsl(8 ${20 + 45 * part}% ${28 + 8 * part}%)`,
	shrunk: part => `hsl(212 ${20 + 45 * part}% ${28 + 10 * part}%)` };
const colors = () => isDark.matches && !isPrinting ? DARK : LIGHT;

function colorOf(node) {
	const palette = colors(), frame = tree.frame[node];

	if (!node)
		return palette.all;
	if (matching && matching[frame])
		return palette.match;
	if (data.is_difference) {
		const part = figures.sum[node] / figures.width[node];

		return part < 0 ? palette.shrunk(-part) : palette.grown(part);
	}
	return isOwn(frame) ? palette.own(hueOf(frame)) : palette.other;
}

function widthOf(nodes) {
	let width = 0;

	for (const node of nodes)
		width += figures.width[node];
	return width;
}

function pushBox(depth, box) {
	(boxes[depth] = boxes[depth] || []).push(box);
}

/* What is on the screen: the nodes above the root at full width, then it and what is below. */
function layOut(width) {
	const waiting = [{ node: state.root, x: 0, w: width }];

	boxes = [];
	for (let node = state.root; node; node = tree.parent[node])
		pushBox(tree.depth[node] - 1, { node: tree.parent[node], x: 0, w: width });
	while (waiting.length) {
		const box = waiting.pop();

		pushBox(tree.depth[box.node], box);
		waiting.push(...layOutChildren(box).reverse());
	}
}

/* Those that are wide enough; in place of the others one box that says how many they are. */
function layOutChildren(box) {
	const children = childrenOf(box.node), below = [];
	const isPart = box.node === state.root && state.skipped > 0;
	const scale = box.w / ((isPart ? widthOf(children.slice(state.skipped)) : figures.width[box.node]) || 1);
	let x = box.x, next = isPart ? state.skipped : 0;

	for (; next < children.length; next++) {
		const w = figures.width[children[next]] * scale;

		if (w < LEAST_PIXELS)
			break; // the others are no wider
		below.push({ node: children[next], x, w });
		x += w;
	}
	if (next < children.length)
		pushBox(tree.depth[box.node] + 1, { node: -1, x, w: widthOf(children.slice(next)) * scale,
			parent: box.node, from: next, count: children.length - next });
	return below;
}

function drawBox(box, y, palette) {
	const isAbove = tree.depth[box.node] < tree.depth[state.root];

	context.fillStyle = box.node < 0 ? palette.more : colorOf(box.node);
	context.globalAlpha = isAbove || (matching && box.node > 0 && !matching[tree.frame[box.node]]) ? .55 : 1;
	context.fillRect(box.x, y, Math.max(box.w - (box.w > 3 ? 1 : 0), .5), ROW_PIXELS - 1);
	context.globalAlpha = 1;
	if (box.node >= 0 && box.w > 28)
		drawLabel(labelOf(box.node), box.x + 4, y + ROW_PIXELS / 2, box.w - 9, palette);
	if (box.node === state.selected && document.activeElement === canvas) {
		context.strokeStyle = palette.selected;
		context.lineWidth = 2;
		context.strokeRect(box.x + 1, y + 1, Math.max(box.w - 3, 1), ROW_PIXELS - 3);
	}
}

/* As much of it as fits, the end of it first: of "ns::Class::method" the method tells most. */
function drawLabel(text, x, y, room, palette) {
	const letters = Math.floor(room / labelPixels);

	if (text.length > letters) {
		const short = shorten(text);

		text = short.length > letters ? short.slice(0, Math.max(letters - 1, 1)) + "…" : short;
	}
	context.fillStyle = palette.text;
	context.fillText(text, x, y, room + labelPixels);
}

/* Without template arguments and parameters, and without scopes: what is called. */
function shorten(name) {
	let plain = "", open = 0;

	for (const letter of name) {
		if (letter === "<" || letter === "(")
			open++;
		if (!open)
			plain += letter;
		if ((letter === ">" || letter === ")") && open)
			open--;
	}
	return plain.split("::").pop().trim() || name;
}

let labelPixels = 7;

/* Laid out for the room there is, which is less once the box of a deep graph has a scroll bar. */
function fit() {
	const room = byId("graph-box");
	let width = 0;

	for (let tries = 0; tries < 2 && width !== room.clientWidth; tries++) {
		width = room.clientWidth;
		layOut(width);
		canvas.style.height = `${boxes.length * ROW_PIXELS}px`;
	}
	return width;
}

function draw() {
	const width = fit(), height = boxes.length * ROW_PIXELS, palette = colors();
	const ratio = Math.min(window.devicePixelRatio || 1, MOST_PIXELS / height);

	canvas.width = Math.round(width * ratio);
	canvas.height = Math.round(height * ratio);
	context.setTransform(ratio, 0, 0, ratio, 0, 0);
	context.fillStyle = palette.page;
	context.fillRect(0, 0, width, height);
	context.font = "12px ui-monospace, \"DejaVu Sans Mono\", Menlo, Consolas, monospace";
	context.textBaseline = "middle";
	labelPixels = context.measureText("mmmmmmmmmm").width / 10;
	boxes.forEach((row, depth) => row.forEach(box => drawBox(box, depth * ROW_PIXELS, palette)));
	showLegend(palette);
	showPath();
}

function showLegend(palette) {
	const entry = (color, text) => {
		const box = make("i");

		box.style.background = color;
		return make("span", "", box, text);
	};
	const meaning = data.is_difference
		? [entry(palette.grown(1), "has grown"), entry(palette.shrunk(1), "has shrunk")]
		: [entry(palette.own(36), "own code, a shade for each file"),
			entry(palette.other, "C library, runtime, allocator")];

	byId("legend").replaceChildren(`Width: ${state.metric.label.toLowerCase()}, ${state.metric.unit}. `, ...meaning,
		entry(palette.more, "more, too narrow to draw"),
		matching ? entry(palette.match, "matches the search") : "");
}

/* The way to what is enlarged, each step a button. */
function showPath() {
	const steps = [];

	for (let node = state.root; node; node = tree.parent[node])
		steps.unshift(node);
	byId("path").hidden = !steps.length && !state.skipped;
	byId("reset").disabled = !steps.length && !state.skipped && !matching;
	byId("path").replaceChildren("Enlarged: ", ...[0, ...steps.slice(-4)].map(node => {
		const button = make("button", "", labelOf(node));

		button.type = "button";
		button.title = labelOf(node);
		button.addEventListener("click", () => zoom(node));
		return button;
	}), state.skipped ? ` without the widest ${count(state.skipped)} of its boxes` : "");
}

function boxAt(event) {
	const area = canvas.getBoundingClientRect(), x = event.clientX - area.left;
	const row = boxes[Math.floor((event.clientY - area.top) / ROW_PIXELS)];

	return row && row.find(box => x >= box.x && x < box.x + box.w);
}

const boxOf = node => (boxes[tree.depth[node]] || []).find(box => box.node === node);

/* skipped: of its children those are left out that are wider, to see the others. */
function zoom(node, skipped = 0) {
	state.root = state.selected = node;
	state.skipped = skipped;
	state.rowLimit = ROWS_AT_ONCE;
	draw();
	speak();
	showTable();
}

function select(node) {
	const box = byId("graph-box"), y = tree.depth[node] * ROW_PIXELS;

	state.selected = node;
	if (y < box.scrollTop || y + ROW_PIXELS > box.scrollTop + box.clientHeight)
		box.scrollTop = y - box.clientHeight / 2;
	draw();
	speak();
}

function speak() {
	byId("spoken").textContent = [labelOf(state.selected), placeOfNode(state.selected), ...describe(state.selected)]
		.filter(text => text).join("; ");
}

/* The node next to the selected one among those of its parent. */
function selectBeside(step) {
	const parent = tree.parent[state.selected], list = childrenOf(parent);
	const at = list.indexOf(state.selected) + step;

	if (state.selected === state.root || list[at] === undefined)
		return;
	if (!boxOf(list[at]))
		zoom(parent, step > 0 ? at : 0); // too narrow, or left out
	select(list[at]);
}

function onGraphKey(event) {
	const moves = {
		ArrowUp: () => select(tree.parent[state.selected]),
		ArrowDown: () => select(childrenOf(state.selected)[state.selected === state.root ? state.skipped : 0] ||
			state.selected),
		ArrowLeft: () => selectBeside(-1),
		ArrowRight: () => selectBeside(1),
		Home: () => select(state.root),
		Enter: () => zoom(state.selected),
		" ": () => zoom(state.selected),
		Escape: reset,
	};

	if (!moves[event.key] || event.ctrlKey || event.altKey || event.metaKey)
		return;
	event.preventDefault();
	moves[event.key]();
	if (!boxOf(state.selected))
		zoom(state.selected); // it was too narrow, or outside
}

function showTip(event) {
	const box = boxAt(event), tip = byId("tip");

	tip.hidden = !box;
	if (!box)
		return;
	if (box.node < 0)
		tip.replaceChildren(make("div", "", `${count(box.count)} more below `, make("b", "", labelOf(box.parent)),
			", each too narrow to draw: click to see them"));
	else
		tip.replaceChildren(make("div", "name", labelOf(box.node)), make("div", "place", placeOfNode(box.node)),
			...describe(box.node).map(line => make("div", "", line)));
	const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
	const isBelow = event.clientY + 18 + tip.offsetHeight < innerHeight;

	tip.style.left = `${Math.max(left, 4)}px`;
	tip.style.top = `${isBelow ? event.clientY + 18 : Math.max(event.clientY - 10 - tip.offsetHeight, 4)}px`;
}

/* ---- search ---------------------------------------------------------------------------------- */

/* A test of text: a part of it, whatever the case, or /a regular expression/. null: nothing is
 * searched, or it is no expression yet. */
function parseSearch(text) {
	const expression = /^\/(.+)\/(i?)$/.exec(text);

	if (!expression)
		return text ? name => name.toLowerCase().includes(text.toLowerCase()) : null;
	try {
		const pattern = new RegExp(expression[1], expression[2]);

		return name => pattern.test(name);
	} catch {
		return null;
	}
}

function search() {
	const test = parseSearch(byId("search").value.trim());

	matching = null;
	if (test) {
		const strings = data.strings.map(test);

		matching = Uint8Array.from({ length: frameCount }, (_, frame) =>
			strings[data.frames[FRAME_NUMBERS * frame]] || strings[data.frames[FRAME_NUMBERS * frame + 1]]);
	}
	state.rowLimit = ROWS_AT_ONCE;
	draw();
	showTable();
}

function rowMatches(row) {
	if (!matching)
		return true;
	for (let at = stacks.starts[row]; at < stacks.starts[row + 1]; at++)
		if (matching[stacks.frames[at]])
			return true;
	return false;
}

function reset() {
	byId("search").value = "";
	matching = null;
	zoom(0);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* The rows below what is enlarged that match the search. */
function chosenRows() {
	const isBelow = new Uint8Array(tree.size), rows = [];

	isBelow[state.root] = 1;
	for (let node = state.root + 1; node < tree.size; node++)
		isBelow[node] = isBelow[tree.parent[node]];
	for (let row = 0; row < stacks.rows; row++)
		if (isBelow[tree.leaf[row]] && rowMatches(row))
			rows.push(row);
	return rows;
}

function sortRows(rows) {
	const column = data.columns[state.sortBy];

	rows.sort(column ? (a, b) => column.values[b] - column.values[a] || a - b
		: (a, b) => nameOf(siteOfRow[a]).localeCompare(nameOf(siteOfRow[b])) || a - b);
	return state.isAscending ? rows.reverse() : rows;
}

function sortTable(by) {
	state.isAscending = by === state.sortBy && !state.isAscending;
	state.sortBy = by;
	showTable();
}

/* A button that sorts by a column; by -1: by name, for which up is the natural way. */
function headCell(label, by) {
	const isChosen = by === state.sortBy, isUp = state.isAscending !== (by < 0);
	const button = make("button", "", label + (isChosen ? isUp ? " ▲" : " ▼" : "")), head = make("th", "", button);

	button.type = "button";
	button.addEventListener("click", () => sortTable(by));
	head.scope = "col";
	head.setAttribute("aria-sort", !isChosen ? "none" : isUp ? "ascending" : "descending");
	return head;
}

/* What is counted in the first row, in which unit in the second. */
function showTableHead() {
	const [groups, units] = byId("table").tHead.rows, share = make("th", "", "Share"), name = headCell("Allocated by", -1);

	share.rowSpan = name.rowSpan = 2;
	groups.replaceChildren(share);
	units.replaceChildren();
	for (const metric of metrics) {
		if (groups.lastChild.textContent === metric.label) {
			groups.lastChild.colSpan++;
		} else {
			groups.append(make("th", "group", metric.label));
			groups.lastChild.scope = "colgroup";
		}
		units.append(headCell(metric.unit, data.columns.indexOf(metric)));
	}
	groups.append(name);
}

function tableRow(row) {
	const site = siteOfRow[row], button = make("button", "name", nameOf(site));
	const part = make("td", "number shown", share(state.metric.values[row], figures.width[0]));
	const line = make("tr", "stack", part, ...metrics.map(metric => {
		const cell = make("td", metric === state.metric ? "number shown" : "number other", figure(metric.values[row], metric.unit));

		cell.title = wholeFigure(metric.values[row], metric.unit);
		return cell;
	}), make("td", "", button, " ", make("span", "place", placeOf(site))));

	button.type = "button";
	button.setAttribute("aria-expanded", "false");
	line.addEventListener("click", event => {
		if (event.target === button || !getSelection().toString())
			toggleStack(line, button, row);
	});
	return line;
}

function toggleStack(line, button, row) {
	const isOpen = button.getAttribute("aria-expanded") === "true";

	button.setAttribute("aria-expanded", String(!isOpen));
	if (isOpen)
		return line.nextSibling.remove();
	const cell = make("td", "", make("p", "", historyOf(row)), framesOf(row), locator(row));

	cell.colSpan = metrics.length + 2;
	line.after(make("tr", "opened", cell));
}

/* Its frames, innermost first, as dhatctl lists them. */
function framesOf(row) {
	const list = make("ol", "frames");

	for (let at = stacks.starts[row + 1] - 1; at >= stacks.starts[row]; at--) {
		const frame = stacks.frames[at];

		list.append(make("li", isOwn(frame) ? "own" : "", make("span", "name", nameOf(frame)), " ",
			make("span", "place", placeOf(frame))));
	}
	return list;
}

function locator(row) {
	const button = make("button", "", "Show in the graph");

	button.type = "button";
	button.addEventListener("click", () => {
		zoom(tree.leaf[row]);
		canvas.scrollIntoView({ block: "center" });
		canvas.focus();
	});
	return button;
}

const valueOf = (key, row) => {
	const column = data.columns.find(candidate => candidate.key === key);

	return column ? column.values[row] : 0;
};

/* In words: figures, and when. */
function historyOf(row) {
	const total = valueOf("total-blocks", row), live = valueOf("live-blocks", row);
	const parts = metrics.filter(metric => metric.unit === "bytes").map(metric => {
		const blocks = metrics.find(other => other.label === metric.label && other.unit === "blocks");

		return `${metric.label.toLowerCase()} ${wholeFigure(metric.values[row], "bytes")}` +
			(blocks ? ` in ${wholeFigure(blocks.values[row], "blocks")}` : "");
	});

	if (total && !data.is_difference) {
		const least = valueOf("least_max_bytes", row), most = valueOf("max_bytes", row);

		parts.push(`${total > live ? noun(total - live, "block") : "none"} freed`,
			`a block lives ${duration(valueOf("lifetimes_us", row) / total / 1000)} on average`,
			`its own maximum ${least < most ? `between ${size(least)} and ${size(most)}` : wholeFigure(most, "bytes")}`,
			`allocated from ${moment(data.since_ms + valueOf("first_ms", row))} ` +
			`to ${moment(data.since_ms + valueOf("last_ms", row))}`);
	}
	return parts.join("; ");
}

function showTable() {
	const rows = sortRows(chosenRows()), shown = rows.slice(0, state.rowLimit);
	const sum = rows.reduce((total, row) => total + state.metric.values[row], 0);
	const text = `${wholeFigure(sum, state.metric.unit)}, ${share(sum, figures.width[0])}`;
	const more = byId("more"), isPart = rows.length < stacks.rows;

	showTableHead();
	byId("table").tBodies[0].replaceChildren(...shown.map(tableRow));
	byId("table-summary").textContent =
		`${noun(rows.length, "stack")}${isPart ? ` of ${count(stacks.rows)}` : ""}` +
		`${state.root ? ` below ${labelOf(state.root)}` : ""}${matching ? " that match" : ""}: ` +
		`${state.metric.label.toLowerCase()} ${text}`;
	byId("found").textContent = matching ? `${noun(rows.length, "stack")}, ${text}` : "";
	more.hidden = shown.length === rows.length;
	more.textContent = `Show ${count(Math.min(ROWS_AT_ONCE, rows.length - shown.length))} more of ` +
		`${count(rows.length - shown.length)}`;
}

/* Arrows walk through the names of the table. */
function onTableKey(event) {
	const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
	const names = [...byId("table").querySelectorAll("tbody button.name")], at = names.indexOf(document.activeElement);

	if (!step || at < 0 || !names[at + step])
		return;
	event.preventDefault();
	names[at + step].focus();
}

/* ---- the head -------------------------------------------------------------------------------- */

function showVerdict() {
	const meanings = { exact: "exact: every block was counted",
		partial: "partial: exact for the allocators that are named, others were not counted",
		inexact: "inexact: something was lost" };
	const losses = data.losses.map(loss => `${loss.name} ${count(loss.value)}: ${loss.meaning}`);
	const reasons = [...data.reasons, ...losses];

	byId("verdict").textContent = data.verdict;
	byId("verdict").title = meanings[data.verdict] || "";
	byId("verdict").className = byId("reasons").className = data.verdict;
	byId("reasons").hidden = !reasons.length;
	byId("reasons").append(...reasons.map(reason => make("li", "", reason)));
	byId("notes").hidden = !data.notes.length;
	byId("notes").querySelector("ul").append(...data.notes.map(note => make("li", "", note)));
}

/* What dhatctl says first: the line of one's own code that keeps most. */
function showHeadline() {
	const metric = metrics[0], sums = new Map();
	let most = -1, whole = 0;

	for (let row = 0; row < stacks.rows; row++) {
		const site = siteOfRow[row], value = metric.values[row];

		if (nameOf(site) === data.before_label)
			continue; // nobody knows where they came from
		sums.set(site, (sums.get(site) || 0) + value);
		whole += value;
	}
	for (const [site, value] of sums)
		if (value > 0 && (most < 0 || value > sums.get(most)))
			most = site;
	if (most < 0)
		byId("headline").textContent = data.is_difference ? "Nothing has grown." : "Nothing is live.";
	else
		byId("headline").append(data.is_difference ? "Has grown most: " : sums.get(most) > whole / 2
			? "Most of what is live: " : "Largest part of what is live: ",
			make("b", "", wholeFigure(sums.get(most), metric.unit)),
			data.is_difference ? "" : `, ${share(sums.get(most), whole)},`, " from ",
			make("b", "name", nameOf(most)), placeOf(most) ? " at " : "", make("span", "place", placeOf(most)));
}

/* A card for each pair of bytes and blocks. */
function showTotals() {
	const sum = metric => metric.values.reduce((total, value) => total + value, 0);

	for (const metric of metrics.filter(candidate => candidate.unit === "bytes")) {
		const blocks = metrics.find(other => other.label === metric.label && other.unit === "blocks");
		const bytes = sum(metric), sign = data.is_difference && bytes > 0 ? "+" : "";
		const when = metric.key === "peak-bytes" && !data.is_difference
			? make("span", "", moment(data.since_ms + data.peak_ms)) : null;

		byId("totals").append(make("div", "total", metric.label, make("b", "", sign + size(bytes)),
			make("span", "", `${sign}${count(bytes)} bytes` + (blocks ? ` in ${sign}${noun(sum(blocks), "block")}` : "")), when));
	}
}

function showFacts() {
	const ending = data.state === "attached" || data.state === "detached" ? "" : `, ${data.state}`;
	const facts = [
		["Process", `${data.executable || data.program}, pid ${(data.pids.length ? data.pids : [data.pid]).join(", ")} ` +
			`on ${data.host}${ending}${data.state_detail ? ` (${data.state_detail})` : ""}`],
		[data.is_difference ? "Between" : "Watched", `${moment(data.since_ms)} to ` +
			`${moment(data.since_ms + data.observed_ms)}, ${duration(data.observed_ms)}` +
			(data.is_difference ? "" : data.from_start ? ", from its start" : ", attached while it ran")],
		["Allocators", data.allocators.join(", ")],
		["Left out", data.trimmed.length ? `frames of: ${data.trimmed.join(", ")}` : ""],
		["Made by", `${data.tool} on ${data.kernel}`],
	];

	for (const [term, text] of facts)
		if (text)
			byId("facts").append(make("dt", "", term), make("dd", "", text));
}

function showHead() {
	const what = data.is_difference ? "What has changed in the heap of" : "Heap of";

	document.title = `${what} ${data.program}`;
	byId("program").textContent = `${what} ${data.program}`;
	showVerdict();
	showHeadline();
	showTotals();
	showFacts();
}

/* ---- all of it ------------------------------------------------------------------------------- */

function listen() {
	let pause = 0;

	byId("metric").addEventListener("change", event => {
		state.metric = metrics[event.target.selectedIndex];
		state.sortBy = data.columns.indexOf(state.metric);
		state.isAscending = false;
		chooseFigures();
		zoom(state.root);
	});
	for (const id of ["order", "boxes"])
		byId(id).addEventListener("change", event => {
			state[id] = event.target.value;
			chooseTree();
			chooseFigures();
			zoom(0);
		});
	byId("search").addEventListener("input", () => {
		clearTimeout(pause);
		pause = setTimeout(search, SEARCH_PAUSE_MS);
	});
	byId("search").addEventListener("keydown", event => event.key === "Escape" && reset());
	byId("reset").addEventListener("click", reset);
	byId("more").addEventListener("click", () => {
		state.rowLimit += ROWS_AT_ONCE;
		showTable();
	});
	canvas.addEventListener("click", event => {
		const box = boxAt(event);

		if (box)
			box.node < 0 ? zoom(box.parent, box.from) : zoom(box.node);
	});
	canvas.addEventListener("mousemove", showTip);
	canvas.addEventListener("mouseleave", () => byId("tip").hidden = true);
	canvas.addEventListener("keydown", onGraphKey);
	canvas.addEventListener("focus", () => select(state.selected));
	canvas.addEventListener("blur", draw);
	byId("table").addEventListener("keydown", onTableKey);
	document.addEventListener("keydown", event => {
		if (event.key !== "/" || /INPUT|SELECT/.test(document.activeElement.tagName))
			return;
		event.preventDefault();
		byId("search").focus();
	});
	addEventListener("resize", draw);
	isDark.addEventListener("change", draw);
	for (const [name, value] of [["beforeprint", true], ["afterprint", false]])
		addEventListener(name, () => {
			isPrinting = value;
			draw();
		});
}

showHead();
byId("metric").append(...metrics.map(metric => make("option", "", `${metric.label}, ${metric.unit}`)));
byId("metric").selectedIndex = data.shown;
chooseTree();
chooseFigures();
listen();
draw();
showTable();
