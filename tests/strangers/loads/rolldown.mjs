import { rolldown } from "rolldown";

const bundle = await rolldown({ input: "js/f199.js" });
await bundle.write({ file: "rolldown.out.js" });
await bundle.close();
