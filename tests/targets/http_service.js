// A service in JavaScript with a leak: /keep remembers 70,000 bytes outside V8's heap and never
// forgets them, /work is healthy, /figures tells what node itself says. Says "listening PORT".
"use strict";
const http = require("http");
const KEPT_BYTES = 70000;
const kept = [];

const server = http.createServer((request, response) => {
	if (request.url === "/keep")
		kept.push(Buffer.alloc(KEPT_BYTES, 1));
	const page = JSON.stringify({
		blocks: kept.length,
		bytes: request.url === "/figures" ? process.memoryUsage().arrayBuffers : 0,
		path: request.url,
	});
	response.setHeader("Content-Length", Buffer.byteLength(page));
	response.end(page);
});
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => console.log("listening", server.address().port));
