/* The head of the page: the verdict, what keeps most, totals, whose profile it is. */
function showVerdict() {
	const meanings = { exact: "exact: every block was counted",
		sampled: "sampled: figures are estimates, of which nothing was lost",
		partial: "partial: exact for the allocators that are named, others were not counted",
		inexact: "inexact: something was lost",
		"not known": "another program made the profile, and does not say" };
	const losses = data.losses.map(loss => `${loss.name} ${count(loss.value)}: ${loss.meaning}`);
	const reasons = [...data.reasons, ...losses];

	byId("verdict").textContent = data.verdict;
	byId("verdict").title = meanings[data.verdict] || "";
	byId("verdict").className = byId("reasons").className =
		data.verdict === "not known" ? "inexact" : data.verdict;
	byId("reasons").hidden = !reasons.length;
	byId("reasons").append(...reasons.map(reason => make("li", "", reason)));
	byId("notes").hidden = !data.notes.length;
	byId("notes").querySelector("ul").append(...data.notes.map(note => make("li", "", note)));
}

/* What dhatctl says first: the line of one's own code that keeps most. */
function showHeadline() {
	const metric = metrics[0], sums = new Map();
	let most = -1, whole = 0, hasBefore = false;

	for (let row = 0; row < stacks.rows; row++) {
		const site = siteOfRow[row], value = metric.values[row];

		if (nameOf(site) === data.before_label) {
			hasBefore = true; // nobody knows where they came from
			continue;
		}
		sums.set(site, (sums.get(site) || 0) + value);
		whole += value;
	}
	for (const [site, value] of sums)
		if (value > 0 && (most < 0 || value > sums.get(most)))
			most = site;
	if (most < 0)
		byId("headline").textContent = data.is_difference ? "Nothing has grown." : data.born
			? `Nothing lives of what was allocated ${data.born}.` : "Nothing is live.";
	else
		byId("headline").append(data.is_difference ? "Has grown most: " : (sums.get(most) > whole / 2
			? "Most of what " : "Largest part of what ") + (data.born ? `was allocated ${data.born} and lives: ` : "is live: "),
			make("b", "", wholeFigure(sums.get(most), metric.unit)),
			data.is_difference ? "" : `, ${share(sums.get(most), whole)}${hasBefore ? " of what was allocated since the attach" : ""},`, " from ",
			make("b", "name", nameOf(most)), placeOf(most) ? " at " : "", make("span", "place", placeOf(most)));
}

/* What grows, in the words of `dhatctl suspects'; each opens the stack of which most is live. */
function showSuspects() {
	const [title, list] = byId("suspects").children, suspects = data.suspects || [];

	byId("suspects").hidden = !data.growth;
	title.textContent = data.growth ? asSentence(data.growth) +
		(suspects.length < data.suspect_count ? `; the first ${count(suspects.length)}:` : suspects.length ? ":" : ".") : "";
	list.hidden = !suspects.length;
	list.append(...suspects.map(suspect => {
		const site = siteOfRow[suspect.row], button = make("button", "name", nameOf(site));
		const stacksOfIt = suspect.stacks > 1 ? `, ${noun(suspect.stacks, "stack")}` : "";

		button.type = "button";
		button.title = "Show in the graph";
		button.addEventListener("click", () => showInGraph(suspect.row));
		return make("li", suspect.course, button, placeOf(site) ? " at " : "", make("span", "place", placeOf(site)), " ",
			make("b", "", suspect.word), `: ${suspect.why}. `,
			make("span", "faint", `${size(suspect.live_bytes)} live in ${noun(suspect.live_blocks, "block")}${stacksOfIt}`));
	}));
}

/* The last scan, and the order of the graph that it has made possible. */
function showScan() {
	byId("scan").hidden = !data.scan;
	byId("scan").textContent = data.scan ? `${data.scan}. Who holds what: order the graph by "who holds it".` : "";
	for (const option of byId("order").options)
		if (option.value === "holders") {
			option.hidden = !ways;
			option.disabled = !ways;
		}
}

/* A card for each pair of bytes and blocks. */
function showTotals() {
	const sum = metric => metric.values.reduce((total, value) => total + value, 0);

	for (const metric of metrics.filter(candidate => candidate.unit === "bytes" && candidate.mark === undefined)) {
		const blocks = metrics.find(other => other.label === metric.label && other.unit === "blocks");
		const bytes = sum(metric), sign = data.is_difference && bytes > 0 ? "+" : "";
		const ends = data.intervals[metric.key];
		const when = metric.key === "peak-bytes" && !data.is_difference && data.since_ms
			? make("span", "", moment(data.since_ms + data.peak_ms)) : null;

		byId("totals").append(make("div", "total", metric.label, make("b", "", sign + size(bytes)),
			make("span", "", `${sign}${count(bytes)} bytes` + (blocks ? ` in ${sign}${noun(sum(blocks), "block")}` : "")),
			ends ? make("span", "", `95%: ${size(ends.all[0])} to ${size(ends.all[1])}`) : null, when));
	}
}

function showFacts() {
	const ending = data.state === "attached" || data.state === "detached" ? "" : `, ${data.state}`;
	const facts = [
		["Process", `${data.executable || data.program}, pid ${(data.pids.length ? data.pids : [data.pid]).join(", ")}` +
			`${data.host ? ` on ${data.host}` : ""}${ending}${data.state_detail ? ` (${data.state_detail})` : ""}`],
		[data.is_difference ? "Between" : "Watched", !data.since_ms ? "" : `${moment(data.since_ms)} to ` +
			`${moment(data.since_ms + data.observed_ms)}, ${duration(data.observed_ms)}` +
			(data.is_difference ? "" : data.from_start ? ", from its start" : ", attached while it ran")],
		["Allocators", data.allocators.join(", ")],
		["Left out", data.trimmed.length ? `frames of: ${data.trimmed.join(", ")}` : ""],
		["Made by", data.tool + (data.kernel ? ` on ${data.kernel}` : "")],
		["Not known", data.lacks || ""],
	];

	for (const [term, text] of facts)
		if (text)
			byId("facts").append(make("dt", "", term), make("dd", "", text));
}

function showHead() {
	const what = data.is_difference ? "What has changed in the heap of" : data.born
		? `What was allocated ${data.born} and lives in the heap of` : "Heap of";

	document.title = `${what} ${data.program}`;
	byId("program").textContent = `${what} ${data.program}`;
	showVerdict();
	showHeadline();
	showSuspects();
	showScan();
	showTotals();
	showTimeline();
	showFacts();
}
