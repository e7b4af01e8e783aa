#!/bin/bash
# speedscope refuses a whole profile for one negative weight, but skips the same weight silently in folded stacks.
#
# Package:  speedscope 1.25.0 (npm), in a headless Chromium
# Input:    what a difference of two heap snapshots looks like: main;grew +10 bytes, main;shrank -5 bytes, once in
#           speedscope's own format (its JSON schema asks for numbers, no more) and once as folded stacks.
# Expected: both are shown, or both are refused with the same words.
# Seen:     own format: "Something went wrong", nothing is shown, main;grew neither. Folded: no word, the line is
#           left out, and the total is 10 where it is 5. So are lines with a decimal weight or a tab before it.
# So:       a difference goes to speedscope as two profiles, what grew and what shrank, both positive.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
	untried "this needs Chromium"
npm pack --silent --pack-destination "$tmp" speedscope@1.25.0 >/dev/null 2>&1 ||
	untried "npm cannot fetch speedscope 1.25.0"
tar -xzf "$tmp/speedscope-1.25.0.tgz" -C "$tmp" || untried "the package cannot be unpacked"

# show FILE WORD: the words on the page, once WORD is among them, into FILE.page
show() {
	echo "speedscope.loadFileFromBase64('$(basename "$1")', '$(base64 -w0 "$1")')" >"$1.js"
	for _ in 1 2 3 4 5; do
		timeout 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$tmp/browser" \
			--virtual-time-budget=20000 --dump-dom \
			"file://$tmp/package/dist/release/index.html#localProfilePath=$1.js&view=sandwich" \
			2>/dev/null | sed 's/<[^>]*>/\n/g' | grep -v '^ *$' >"$1.page"
		grep -q "$2" "$1.page" && return 0
	done
	return 1
}

own() { # WEIGHT of main;shrank
	cat <<-JSON
		{"\$schema": "https://www.speedscope.app/file-format-schema.json",
		 "shared": {"frames": [{"name": "main"}, {"name": "grew"}, {"name": "shrank"}]},
		 "profiles": [{"type": "sampled", "name": "difference", "unit": "bytes", "startValue": 0, "endValue": 15,
		               "samples": [[0, 1], [0, 2]], "weights": [10, $1]}]}
	JSON
}
own 5 >"$tmp/positive.json"
own -5 >"$tmp/negative.json"
printf 'main;grew 10\nmain;shrank -5\nmain;decimal 2.5\nmain;tab\t7\n' >"$tmp/negative.txt"

# first that it reads such a file at all
show "$tmp/positive.json" '^shrank$' || untried "the page does not show a profile without negative weights"
show "$tmp/negative.json" 'went wrong'
show "$tmp/negative.txt" '^grew$'

state=0
echo "speedscope 1.25.0, main;grew 10 and main;shrank -5; expected: both formats are treated alike"
if grep -q 'went wrong' "$tmp/negative.json.page" && ! grep -q '^grew$' "$tmp/negative.json.page"; then
	echo "seen, own format: \"$(grep -o 'Something went wrong' "$tmp/negative.json.page")\", nothing is shown"
else
	echo "CHANGED: the file in its own format is no longer refused"
	state=1
fi
if grep -q '^10 (100%)$' "$tmp/negative.txt.page" && ! grep -qE 'shrank|decimal|tab$' "$tmp/negative.txt.page"; then
	echo "seen, folded: grew is 10, 100 % of the total; three lines are left out (negative, decimal, tab)"
else
	echo "CHANGED: folded stacks with a negative weight are no longer cut silently"
	state=1
fi
exit $state
