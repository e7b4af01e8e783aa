/* The data of the page, which html.c describes: frames, stacks, and a figure of each stack in each column.
 *
 * A stack is a row. Columns that can be added up over rows are metrics: each that is there can be chosen,
 * without a word about it here. The files of the page are one script, in the order of report.html.
 */
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const metrics = data.columns.filter(column => column.is_sum);

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
/* Of each stack the way from a root to it, as a stack of its own; null: nobody has looked. */
const ways = data.held ? readStacks(data.held) : null;

/* Of a column that has only what is not 0: each row as its distance from the one before. */
function spread(column) {
	const values = Array(stacks.rows).fill(0);
	let row = 0;

	column.rows.forEach((distance, i) => values[row += distance] = column.values[i]);
	return values;
}

for (const column of data.columns)
	if (column.rows)
		column.values = spread(column);

/* The innermost frame of one's own code; there is none: the innermost one. */
function siteOf(row) {
	const first = stacks.starts[row], end = stacks.starts[row + 1];

	for (let at = end - 1; at >= first; at--)
		if (isOwn(stacks.frames[at]))
			return stacks.frames[at];
	return stacks.frames[end - 1];
}

const siteOfRow = Int32Array.from({ length: stacks.rows }, (_, row) => siteOf(row));
