const sharp = require("sharp");

sharp.concurrency(1);
sharp.cache(false);
async function main() {
	const raw = Buffer.alloc(400 * 300 * 3, 77);
	for (let i = 0; i < 40; i++)
		await sharp(raw, { raw: { width: 400, height: 300, channels: 3 } }).resize(200 + i).png().toBuffer();
}
main();
