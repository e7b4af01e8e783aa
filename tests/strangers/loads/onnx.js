// y = x · w, 32 times over, by a model that is written here: protocol buffers, by hand
const onnx = require("onnxruntime-node");

const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)]);
const number = (field, n) => [...varint(field << 3), ...varint(n)];
const bytes = (field, b) => [...varint((field << 3) | 2), ...varint(b.length), ...b];
const text = (field, s) => bytes(field, [...Buffer.from(s)]);
const FLOAT = 1, SIZE = 64;
const dimension = bytes(1, number(1, SIZE));
const value = (name) => [...text(1, name), ...bytes(2, bytes(1, [...number(1, FLOAT), ...bytes(2, [...dimension, ...dimension])]))];
const nodes = [];
for (let i = 0; i < 32; i++)
	nodes.push(...bytes(1, [...text(1, i ? "t" + i : "x"), ...text(1, "x"), ...text(2, i < 31 ? "t" + (i + 1) : "y"), ...text(4, "MatMul")]));
const graph = [...nodes, ...text(2, "g"), ...bytes(11, value("x")), ...bytes(12, value("y"))];
const model = [...number(1, 8), ...bytes(7, graph), ...bytes(8, number(2, 13))];

async function main() {
	const session = await onnx.InferenceSession.create(Buffer.from(model), { intraOpNumThreads: 1, interOpNumThreads: 1 });
	const x = new onnx.Tensor("float32", new Float32Array(SIZE * SIZE).fill(0.01), [SIZE, SIZE]);
	for (let i = 0; i < 300; i++)
		await session.run({ x });
	console.log("done");
}
main();
