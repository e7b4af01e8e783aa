/* The stacks as a tree, from the callers or from the allocation sites on: node 0 is the whole, and a parent's
 * number is below its children's. */
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

/* order "callers": outermost frames at the top; "sites": innermost ones; "holders": roots, and below them
 * what they hold. */
function buildTree(order, boxes) {
	const isInverted = order === "sites", paths = order === "holders" ? ways : stacks;
	const room = (isInverted ? paths.frames.length : paths.fresh) + 1;
	const tree = { parent: new Int32Array(room), frame: new Int32Array(room), key: new Int32Array(room),
		depth: new Int32Array(room), leaf: new Int32Array(stacks.rows), size: 1 };
	const children = new Children(room), path = new Int32Array(paths.depth + 1);

	for (let row = 0; row < stacks.rows; row++) {
		const first = paths.starts[row], length = paths.starts[row + 1] - first;

		for (let i = isInverted ? 0 : paths.shared[row]; i < length; i++) {
			const frame = paths.frames[isInverted ? first + length - 1 - i : first + i];
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
