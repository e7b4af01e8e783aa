/* Figures as people read them, and elements with text in them.
 *
 * Names come from the process that was watched: they become text (textContent, fillText), never markup.
 */
const byId = id => document.getElementById(id);

/* An element with text or other elements in it. */
function make(tag, className, ...children) {
	const element = document.createElement(tag);

	if (className)
		element.className = className;
	element.append(...children.filter(child => child !== null && child !== undefined));
	return element;
}

const count = number => number.toLocaleString("en-US");

/* A mark's name stays as it is. */
const inSentence = label => label.charAt(0).toLowerCase() + label.slice(1);
const asSentence = text => text.charAt(0).toUpperCase() + text.slice(1);

/* As dhatctl has it: "979 KiB", "1.5 MiB" */
function size(bytes) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
	let value = Math.abs(bytes), unit = 0;

	while (value >= 1023.95 && unit + 1 < units.length) {
		value /= 1024;
		unit++;
	}
	return (bytes < 0 ? "-" : "") +
		(unit ? value.toFixed(value < 99.95 ? 1 : 0) : String(value)) + " " + units[unit];
}

function duration(ms) {
	const s = Math.floor(ms / 1000);

	if (ms < 1)
		return `${(1000 * ms).toFixed(0)} us`;
	if (s < 1)
		return `${ms.toFixed(1)} ms`;
	if (s < 60)
		return `${(ms / 1000).toFixed(1)} s`;
	if (s < 3600)
		return `${Math.floor(s / 60)} min ${s % 60} s`;
	if (s < 86400)
		return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
	return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

/* In UTC: who reads it may sit elsewhere. */
const moment = ms => new Date(ms).toISOString().replace("T", " ").replace(/\.\d+Z/, " UTC");

const noun = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
const figure = (number, unit) => unit === "bytes" ? size(number) : count(number);

/* "2.6 MiB (2,711,904 bytes)", "6,396 blocks"; a change has its sign. */
function wholeFigure(number, unit) {
	const sign = data.is_difference && number > 0 ? "+" : "";

	if (unit !== "bytes")
		return sign + count(number) + " " + (Math.abs(number) === 1 ? unit.replace(/s$/, "") : unit);
	return Math.abs(number) < 1024 ? `${sign}${noun(number, "byte")}`
		: `${sign}${size(number)} (${count(number)} bytes)`;
}

/* Of a whole that is not 0. */
function share(part, whole) {
	const percent = 100 * part / whole, least = 0.01;

	if (part && Math.abs(percent) < least)
		return part < 0 ? `>-${least}%` : `<${least}%`;
	return whole ? percent.toFixed(Math.abs(percent) < 10 && percent ? 2 : 1) + "%" : "";
}
