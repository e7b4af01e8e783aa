/* All of it: what listens to whom, and the first picture. */
const SEARCH_PAUSE_MS = 150;

function listen() {
	let pause = 0;

	byId("metric").addEventListener("change", event => showMetric(metrics[event.target.selectedIndex]));
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
	addEventListener("resize", () => {
		draw();
		drawTimeline();
	});
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
