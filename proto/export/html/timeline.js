/* The live heap over time: a drawing with its scales, the peak and the marks; the same in words, and as a table.
 *
 * It is of the whole process, as is the peak it shows. Colours are the style's, so that it follows dark, light and
 * print by itself.
 */
const PLOT_PIXELS = 130, AXIS_PIXELS = 20, SCALE_PIXELS = 66, END_PIXELS = 28; // END: on the right
const LABEL_PIXELS = 15, LETTER_PIXELS = 7, LABEL_ROWS = 3, LABEL_LETTERS = 28; // of marks
const RSS_TIMES = 8; // of more than so many times the heap, the heap would be a line at the bottom

const marks = data.marks || [];
const slots = data.timeline ? readSlots(data.timeline) : [];
const sharesScale = slots.length && highest(slot => slot.rss) <= RSS_TIMES * highest(slot => slot.most);

/* Times in ms since the observation began; the last slot is not over. */
function readSlots(line) {
	const last = line.end_us / 1000;
	const at = number => Math.min((line.start_us + number * line.slot_us) / 1000, last);

	return line.live_bytes.map((live, i) => ({ begin: at(i), end: at(i + 1), live,
		most: Math.max(live, line.most_bytes[i] || 0), blocks: line.live_blocks[i] || 0,
		allocations: line.allocations[i] || 0, rss: line.rss_bytes[i] || 0 }));
}

function highest(valueOf) {
	return slots.reduce((most, slot) => Math.max(most, valueOf(slot)), 0);
}

const markMoment = mark => moment(data.since_ms + mark.us / 1000);

/* ---- the drawing ------------------------------------------------------------------------------ */

/* An element of the drawing; text in it is text. */
function shape(name, attributes, ...children) {
	const element = document.createElementNS("http://www.w3.org/2000/svg", name);

	for (const [key, value] of Object.entries(attributes))
		element.setAttribute(key, value);
	element.append(...children);
	return element;
}

/* The marks' names stand above, in as many rows as they need; what has no room is a line alone. */
function placeLabels(x, width) {
	const ends = Array(LABEL_ROWS).fill(-Infinity);

	return marks.filter(mark => mark.us <= data.timeline.end_us).sort((a, b) => a.us - b.us).map(mark => {
		const text = mark.name.length > LABEL_LETTERS ? `${mark.name.slice(0, LABEL_LETTERS - 1)}…` : mark.name;
		const at = x(mark.us / 1000), pixels = text.length * LETTER_PIXELS;
		const left = at + 4 + pixels > width ? at - 4 - pixels : at + 4, row = ends.findIndex(end => end < left);

		if (row >= 0)
			ends[row] = Math.max(at, left + pixels) + LETTER_PIXELS;
		return { mark, text, at, left, row };
	});
}

function layOutTimeline(width) {
	const end = data.timeline.end_us / 1000, right = width - END_PIXELS;
	const x = ms => SCALE_PIXELS + (right - SCALE_PIXELS) * ms / end;
	const labels = placeLabels(x, width);
	const top = 16 + LABEL_PIXELS * (1 + Math.max(-1, ...labels.map(label => label.row)));
	const most = Math.max(highest(slot => slot.most), data.timeline.peak_bytes,
		sharesScale ? highest(slot => slot.rss) : 0, 1);
	const step = byteStep(most, 5), whole = step * Math.ceil(most / step);

	return { x, y: bytes => top + PLOT_PIXELS * (1 - bytes / whole), labels, top, bottom: top + PLOT_PIXELS, right,
		step, whole, end };
}

function drawScales(plot) {
	const lines = [], step = timeStep(plot.end, Math.max(Math.floor((plot.right - SCALE_PIXELS) / 90), 1));

	for (let bytes = 0; bytes <= plot.whole; bytes += plot.step)
		lines.push(shape("line", { class: "scale", x1: SCALE_PIXELS, x2: plot.right, y1: plot.y(bytes), y2: plot.y(bytes) }),
			shape("text", { x: SCALE_PIXELS - 6, y: plot.y(bytes) + 4, "text-anchor": "end" }, size(bytes)));
	for (let at = Math.ceil(data.since_ms / step) * step; at <= data.since_ms + plot.end; at += step) {
		const x = plot.x(at - data.since_ms);

		lines.push(shape("line", { class: "scale", x1: x, x2: x, y1: plot.bottom, y2: plot.bottom + 4 }),
			shape("text", { x, y: plot.bottom + 15, "text-anchor": "middle" }, clock(at, step)));
	}
	return lines;
}

/* The most in each slot as steps; what was live at the end of each, and RSS, as lines. */
function drawCurves(plot) {
	const steps = slots.map(slot => `V${plot.y(slot.most)}H${plot.x(slot.end)}`).join("");
	const line = (list, valueOf) => list.map((slot, i) =>
		`${i ? "L" : "M"}${plot.x(slot.end)} ${plot.y(valueOf(slot))}`).join("");
	const curves = [shape("path", { class: "most", d: `M${plot.x(slots[0].begin)} ${plot.y(0)}${steps}V${plot.y(0)}Z` })];

	if (sharesScale)
		curves.push(shape("path", { class: "rss", d: line(slots.filter(slot => slot.rss), slot => slot.rss) }));
	curves.push(shape("path", { class: "live", d: line(slots, slot => slot.live) }));
	return curves;
}

function drawMarks(plot) {
	return plot.labels.map(({ mark, text, at, left, row }) => {
		const tick = shape("g", { class: "mark" }, shape("title", {}, `${mark.name}, ${markMoment(mark)}`),
			shape("line", { x1: at, x2: at, y1: row < 0 ? plot.top - 4 : 4 + LABEL_PIXELS * row, y2: plot.bottom }));

		if (row >= 0)
			tick.append(shape("text", { x: left, y: 12 + LABEL_PIXELS * row }, text));
		return tick;
	});
}

function drawPeak(plot) {
	const { peak_us, peak_bytes } = data.timeline, x = plot.x(peak_us / 1000), y = plot.y(peak_bytes);
	const isLate = x > (SCALE_PIXELS + plot.right) / 2;

	if (peak_us > data.timeline.end_us)
		return [];
	return [shape("circle", { class: "peak", cx: x, cy: y, r: 3.5 }),
		shape("text", { class: "peak", x: x + (isLate ? -6 : 6), y: y - 5, "text-anchor": isLate ? "end" : "start" },
			`peak ${size(peak_bytes)}`)];
}

function drawTimeline() {
	const width = byId("timeline-box").clientWidth;

	if (byId("timeline").hidden || !width)
		return;
	const plot = layOutTimeline(width), height = plot.bottom + AXIS_PIXELS;
	const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
		"aria-labelledby": "timeline-title", "aria-describedby": "timeline-words" },
		...drawScales(plot), ...drawCurves(plot), ...drawMarks(plot), ...drawPeak(plot));

	drawing.addEventListener("mousemove", event => showSlot(event, drawing, plot));
	drawing.addEventListener("mouseleave", () => byId("tip").hidden = true);
	byId("timeline-box").replaceChildren(drawing);
}

/* What it was under the mouse. */
function showSlot(event, drawing, plot) {
	const area = drawing.getBoundingClientRect();
	const ms = plot.end * (event.clientX - area.left - SCALE_PIXELS) / (plot.right - SCALE_PIXELS);
	const slot = slots.find(candidate => candidate.begin <= ms && ms < candidate.end);

	byId("tip").hidden = !slot;
	if (slot)
		placeTip(event, ...slotCells(slot).map((cell, i) => make("div", "", `${SLOT_HEADS[i]}: ${cell}`)));
}

/* ---- the same in words ------------------------------------------------------------------------ */

const SLOT_HEADS = ["Until", "Live", "In blocks", "At most before", "Allocations a second", "RSS"];

/* With hundredths, where several slots are in one second. */
const slotMoment = ms => data.timeline.slot_us >= 1e6 ? moment(ms)
	: `${new Date(ms).toISOString().slice(0, 22).replace("T", " ")} UTC`;

function slotCells(slot) {
	const seconds = (slot.end - slot.begin) / MS_PER_S;

	return [slotMoment(data.since_ms + slot.end), size(slot.live), count(slot.blocks), size(slot.most),
		seconds ? count(Math.round(slot.allocations / seconds)) : "", slot.rss ? size(slot.rss) : "not read"];
}

function timelineWords() {
	const first = slots[0], last = slots[slots.length - 1], resident = slots.filter(slot => slot.rss);
	const peak = `${size(data.timeline.peak_bytes)} at the peak (${moment(data.since_ms + data.timeline.peak_us / 1000)})`;
	const rss = resident.length ? `; RSS from ${size(resident[0].rss)} to ${size(resident[resident.length - 1].rss)}` +
		(sharesScale ? "" : ", too much more to be drawn") : "";

	return `Of the whole process: ${size(first.live)} live at ${moment(data.since_ms + first.end)}, ${peak}, ` +
		`${size(last.live)} at the end${rss}.`;
}

function fillFigures() {
	const rows = slots.map(slot => make("tr", "", ...slotCells(slot).map(cell => make("td", "number", cell))));
	const heads = SLOT_HEADS.map(text => {
		const head = make("th", "", text);

		head.scope = "col";
		return head;
	});

	byId("timeline-figures").querySelector("table").replaceChildren(make("thead", "", make("tr", "", ...heads)),
		make("tbody", "", ...rows));
}

/* Each a button that shows what was allocated since. */
function showMarks() {
	byId("marks").hidden = !marks.length;
	byId("marks").append(...marks.map((mark, number) => {
		const [bytes, blocks] = metrics.filter(metric => metric.mark === number)
			.map(metric => metric.values.reduce((sum, value) => sum + value, 0));
		const button = make("button", "", mark.name);

		button.type = "button";
		button.title = "Show in the graph what was allocated since, and lives";
		button.addEventListener("click", () => showMetric(metrics.find(metric => metric.mark === number)));
		return make("li", "", "Since ", button, `, ${markMoment(mark)}: ${wholeFigure(bytes, "bytes")} ` +
			`in ${wholeFigure(blocks, "blocks")} allocated since, and live`);
	}));
}

function showTimeline() {
	byId("timeline").hidden = slots.length < 2 || !data.timeline.end_us;
	showMarks();
	if (byId("timeline").hidden)
		return;
	const entry = (kind, text) => make("span", "", make("i", kind), text);

	byId("timeline-legend").append(entry("live", "live"), entry("most", "the most that was live meanwhile"),
		sharesScale && highest(slot => slot.rss) ? entry("rss", "RSS") : "", "times in UTC");
	byId("timeline-words").textContent = timelineWords();
	byId("timeline-figures").addEventListener("toggle", fillFigures, { once: true });
	drawTimeline();
}
