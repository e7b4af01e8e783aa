/* The graph on its canvas: where boxes are, and how they look.
 *
 * By hand: what Debian 12 has for drawing (libjs-d3, of version 3) makes a DOM node of each box, and a profile
 * of 50,000 stacks has some hundred thousand.
 */
const ROW_PIXELS = 20;
const LEAST_PIXELS = 1; // what is narrower is not drawn
const MOST_PIXELS = 16384; // of the canvas, in height: browsers draw none that is much larger

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

	byId("legend").replaceChildren(`Width: ${inSentence(state.metric.label)}, ${state.metric.unit}. `, ...meaning,
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
