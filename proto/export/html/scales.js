/* Scales of a drawing: where their lines are, and what stands beside them. */
const MS_PER_S = 1000, MS_PER_DAY = 86400 * MS_PER_S;
const TIME_STEPS_MS = [100, 200, 500, ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600,
	43200].map(seconds => seconds * MS_PER_S)];

/* Bytes between two lines: a power of two, of which at most `lines` are up to the most. */
function byteStep(most, lines) {
	let step = 1;

	while (step * lines < most)
		step *= 2;
	return step;
}

/* Days beyond the steps that clocks have. */
function timeStep(span_ms, lines) {
	const found = TIME_STEPS_MS.find(step => step * lines >= span_ms);
	let step = MS_PER_DAY;

	while (!found && step * lines < span_ms)
		step *= 2;
	return found || step;
}

/* No more of a moment than tells two lines apart; in UTC, as moment(). */
function clock(ms, step_ms) {
	const [day, time] = new Date(ms).toISOString().split("T");

	if (step_ms >= MS_PER_DAY)
		return day;
	return time.slice(0, step_ms >= 60 * MS_PER_S ? 5 : step_ms >= MS_PER_S ? 8 : 10);
}
