const { rspack } = require("@rspack/core");
const path = require("path");

rspack({ entry: "./js/f199.js", mode: "production", output: { path: path.resolve("rspack.out") } }, (error, stats) => {
	if (error || stats.hasErrors())
		throw error || new Error(stats.toString());
});
