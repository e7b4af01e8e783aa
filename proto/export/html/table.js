/* The table of stacks: those below what is enlarged that match the search. */
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

/* Of marks, which may be many, the one that is shown. */
const tableMetrics = () => metrics.filter(metric => metric.mark === undefined || metric.mark === state.metric.mark);

/* What is counted in the first row, in which unit in the second. */
function showTableHead() {
	const [groups, units] = byId("table").tHead.rows, share = make("th", "", "Share"), name = headCell("Allocated by", -1);

	share.rowSpan = name.rowSpan = 2;
	groups.replaceChildren(share);
	units.replaceChildren();
	for (const metric of tableMetrics()) {
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
	const line = make("tr", "stack", part, ...tableMetrics().map(metric => {
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

	cell.colSpan = tableMetrics().length + 2;
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
	button.addEventListener("click", () => showInGraph(row));
	return button;
}

const valueOf = (key, row) => {
	const column = data.columns.find(candidate => candidate.key === key);

	return column ? column.values[row] : 0;
};

/* In words: figures, and when. */
function historyOf(row) {
	const total = valueOf("total-blocks", row), live = valueOf("live-blocks", row);
	const isTold = metric => metric.unit === "bytes" && (metric.mark === undefined || metric.values[row]);
	const parts = metrics.filter(isTold).map(metric => {
		const blocks = metrics.find(other => other.label === metric.label && other.unit === "blocks");

		const ends = data.intervals[metric.key];

		return `${inSentence(metric.label)} ${wholeFigure(metric.values[row], "bytes")}` +
			(ends ? ` (95%: ${size(ends.low[row])} to ${size(ends.high[row])})` : "") +
			(blocks ? ` in ${wholeFigure(blocks.values[row], "blocks")}` : "");
	});

	if (total && !data.is_difference) {
		const least = valueOf("least_max_bytes", row), most = valueOf("max_bytes", row);

		parts.push(`${total > live ? noun(total - live, "block") : "none"} freed`,
			...valueOf("lifetimes_us", row) || !data.lacks
				? [`a block lives ${duration(valueOf("lifetimes_us", row) / total / 1000)} on average`] : [],
			`its own maximum ${least < most ? `between ${size(least)} and ${size(most)}` : wholeFigure(most, "bytes")}`,
			...data.lacks ? [] : [`allocated from ${moment(data.since_ms + valueOf("first_ms", row))} ` +
				`to ${moment(data.since_ms + valueOf("last_ms", row))}`]);
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
		`${inSentence(state.metric.label)} ${text}`;
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
