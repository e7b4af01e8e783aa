/* What is shown: which metric, which tree, which part of it. */
const ROWS_AT_ONCE = 100; // of the table

const state = { metric: metrics[data.shown], order: "callers", boxes: "function", root: 0, selected: 0,
	skipped: 0, // children of the root that are not shown, the widest ones: to see the others
	sortBy: data.columns.indexOf(metrics[data.shown]), isAscending: false, rowLimit: ROWS_AT_ONCE };
const trees = new Map();
const retained = new Map(); // of roots' frames, what only they hold, in bytes

for (let i = 0; i < (data.retained || []).length; i += 2)
	retained.set(data.retained[i], data.retained[i + 1]);
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
			(state.order === "sites" ? "begins here" : state.order === "holders" ? "are its own"
				: "allocated here itself"));
	if (state.order === "holders" && retained.has(tree.frame[node]) && node)
		lines.push(`${wholeFigure(retained.get(tree.frame[node]), "bytes")} would be free without it`);
	return lines;
}
