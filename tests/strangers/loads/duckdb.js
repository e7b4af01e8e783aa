// insert and sum, in memory, by one thread: the calls of two runs are to be compared
const duckdb = require("@duckdb/node-bindings");

async function main() {
	const config = duckdb.create_config();
	duckdb.set_config(config, "threads", "1");
	const connection = await duckdb.connect(await duckdb.open(":memory:", config));
	await duckdb.query(connection, "create table t(a integer, b varchar)");
	for (let i = 0; i < 50; i++) {
		await duckdb.query(connection, `insert into t select range, 'row ' || range from range(${i * 50})`);
		await duckdb.query(connection, "select a % 7, sum(a), max(b) from t group by 1 order by 2");
	}
}
main();
