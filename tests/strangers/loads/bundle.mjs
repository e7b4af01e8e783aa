// one bundle for each line that comes: it is attached to while it works
import { createInterface } from "node:readline";
import { rolldown } from "rolldown";

console.log("ready");
for await (const _ of createInterface({ input: process.stdin })) {
	const bundle = await rolldown({ input: "js/f199.js" });
	await bundle.generate();
	await bundle.close();
	console.log("done");
}
