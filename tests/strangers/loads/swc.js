const swc = require("@swc/core");
const fs = require("fs");

for (const file of fs.readdirSync("js"))
	swc.transformSync(fs.readFileSync("js/" + file, "utf8"), { minify: true, jsc: { target: "es5" } });
