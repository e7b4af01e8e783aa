#!/bin/bash
# speedscope drops the function that allocated when it was inlined.
#
# Package:  speedscope 1.25.0 (npm), in a headless Chromium
# Input:    a pprof profile of one sample: 1,000 bytes, allocated in inner(), which was inlined into outer(),
#           called by main(). As profile.proto asks, inner and outer are two Lines of one Location, innermost first.
# Expected: three functions; inner holds the 1,000 bytes (`go tool pprof -top` says "inner (inline)").
# Seen:     two functions. Of each Location only the last Line, the outermost caller, is kept: inner is nowhere,
#           and its bytes are outer's own.
# So:       for speedscope write the inlined calls as frames of their own (its own format, or folded stacks).
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
	untried "this needs Chromium"
npm pack --silent --pack-destination "$tmp" speedscope@1.25.0 >/dev/null 2>&1 ||
	untried "npm cannot fetch speedscope 1.25.0"
tar -xzf "$tmp/speedscope-1.25.0.tgz" -C "$tmp" || untried "the package cannot be unpacked"

python3 - >"$tmp/profile.js" <<'PYTHON' || untried "this needs python3"
import base64
number = lambda field, n: bytes([field << 3]) + (bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7]))
message = lambda field, body: bytes([field << 3 | 2, len(body)]) + body
line = lambda function: message(4, number(1, function))
profile = message(1, number(1, 1) + number(2, 2))  # sample type: space, bytes
profile += message(2, number(1, 1) + number(1, 2) + number(2, 1000))  # locations 1, 2: 1,000 bytes
profile += message(4, number(1, 1) + line(1) + line(2))  # location 1: inner, inlined into outer
profile += message(4, number(1, 2) + line(3))  # location 2: main
for function in 1, 2, 3:
    profile += message(5, number(1, function) + number(2, function + 2))
for text in "", "space", "bytes", "inner", "outer", "main":
    profile += message(6, text.encode())
print(f"speedscope.loadFileFromBase64('p.pb', '{base64.b64encode(profile).decode()}')")
PYTHON

# the table of functions (Sandwich) is HTML; it is filled in some time after the page is there
for _ in 1 2 3 4 5; do
	timeout 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$tmp/browser" \
		--virtual-time-budget=20000 --dump-dom \
		"file://$tmp/package/dist/release/index.html#localProfilePath=$tmp/profile.js&view=sandwich" \
		2>/dev/null | sed 's/<[^>]*>/\n/g' | grep -v '^ *$' | sed '1,/Symbol Name/d' >"$tmp/table"
	grep -qx main "$tmp/table" && break
done
grep -qx main "$tmp/table" || untried "the page showed no table of functions"

echo "speedscope 1.25.0, a sample of main > outer > inner (inlined into outer), 1,000 bytes; total, self, function:"
paste - - - <"$tmp/table" | sed 's/&lt;/</g; s/^/    /'
echo "expected: inner with 1,000 bytes of its own"
if grep -qx inner "$tmp/table"; then
	echo "CHANGED: speedscope shows the inlined function"
	exit 1
fi
echo "seen: no inner; its bytes are shown as outer's own"
