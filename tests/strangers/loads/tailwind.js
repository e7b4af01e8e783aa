const { Scanner } = require("@tailwindcss/oxide");

const scanner = new Scanner({ sources: [{ base: "js", pattern: "**/*", negated: false }] });
console.log(scanner.scan().length);
