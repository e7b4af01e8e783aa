// a little of everything that JavaScript's own memory is not: typed arrays, text, JSON
const kept = [];
let sum = 0;
for (let i = 0; i < 3000; i++) {
	const block = new Uint8Array(1000 + i);
	if (i % 3 === 0)
		kept.push(block);
	sum += JSON.parse(JSON.stringify({ a: i, b: [i, i + 1], c: "x".repeat(i % 100) })).a;
}
console.log(sum, kept.length);
