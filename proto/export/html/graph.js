/* The graph under mouse and keyboard: enlarging, walking from box to box, what a box stands for. */
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

function showMetric(metric) {
	byId("metric").selectedIndex = metrics.indexOf(metric);
	state.metric = metric;
	state.sortBy = data.columns.indexOf(metric);
	state.isAscending = false;
	chooseFigures();
	zoom(state.root);
}

/* A stack, enlarged; of a metric that it has something of. */
function showInGraph(row) {
	if (!state.metric.values[row])
		showMetric(metrics.find(metric => metric.values[row]) || state.metric);
	zoom(tree.leaf[row]);
	canvas.scrollIntoView({ block: "center" });
	canvas.focus();
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
	const box = boxAt(event);

	byId("tip").hidden = !box;
	if (!box)
		return;
	if (box.node < 0)
		placeTip(event, make("div", "", `${count(box.count)} more below `, make("b", "", labelOf(box.parent)),
			", each too narrow to draw: click to see them"));
	else
		placeTip(event, make("div", "name", labelOf(box.node)), make("div", "place", placeOfNode(box.node)),
			...describe(box.node).map(line => make("div", "", line)));
}

/* Beside the mouse, where there is room. */
function placeTip(event, ...lines) {
	const tip = byId("tip");

	tip.replaceChildren(...lines);
	const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
	const isBelow = event.clientY + 18 + tip.offsetHeight < innerHeight;

	tip.style.left = `${Math.max(left, 4)}px`;
	tip.style.top = `${isBelow ? event.clientY + 18 : Math.max(event.clientY - 10 - tip.offsetHeight, 4)}px`;
}
