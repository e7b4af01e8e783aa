/* What is searched for: in the graph it is marked, the table has nothing else. */
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
