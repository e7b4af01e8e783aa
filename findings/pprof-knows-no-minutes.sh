#!/bin/bash
# pprof's ranges of tags know seconds, hours, days, weeks and years, but no minutes; and a bare number is none of them.
#
# Package:  golang-1.19-go 1.19.8-2 (Debian 12): `go tool pprof`
# Input:    a profile of one sample with the labels age = 7200 (unit seconds) and size = 128 (unit bytes), and
#           -tagfocus with ranges that hold these values.
# Expected: "1h:", "60min:", "7200" and "size=128" find the sample: it is 7,200 seconds old, and -tags shows it as 2hrs.
# Seen:     3600s: and 1hr: do. 60min:, 60m: and 1h: match nothing, and so do 7200 and 128 without a unit, the numbers
#           that are in the file. All that is said is what is said of a range that nothing is in.
# So:       write seconds, or hr, and always the label's unit.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download golang-1.19-go=1.19.8-2 >/dev/null 2>&1 ||
	untried "apt-get cannot fetch golang-1.19-go 1.19.8-2 (Debian 12)"
dpkg -x golang-1.19-go_*.deb go || untried "the package cannot be unpacked"
pprof=go/usr/lib/go-1.19/pkg/tool/linux_amd64/pprof

python3 - <<'PYTHON' || untried "this needs python3"
def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)
def number(field, n):
    return varint(field << 3) + varint(n)
def message(field, body):
    return varint(field << 3 | 2) + varint(len(body)) + body
def label(key, n, unit):
    return message(3, number(1, key) + number(3, n) + number(4, unit))

profile = message(1, number(1, 1) + number(2, 2))
profile += message(2, number(1, 1) + number(2, 1000) + label(4, 7200, 5) + label(6, 128, 2))
profile += message(4, number(1, 1) + message(4, number(1, 1)))
profile += message(5, number(1, 1) + number(2, 3))
for text in "", "space", "bytes", "allocates", "age", "seconds", "size":
    profile += message(6, text.encode())
open("profile.pb", "wb").write(profile)
PYTHON

echo "pprof of Go 1.19.8; -tags shows: $(PPROF_TMPDIR=$tmp "$pprof" -tags profile.pb 2>/dev/null | paste -sd' ' | tr -s ' ')"
state=0
# is_found no|yes RANGE...
is_found() {
	local expected=$1 range found
	shift
	for range in "$@"; do
		PPROF_TMPDIR=$tmp "$pprof" -top -tagfocus="$range" profile.pb >out 2>log
		grep -q allocates out && found=yes || found=no
		echo "    -tagfocus=$range finds it: $found ($(grep -v 'Main binary' log | paste -sd';'))"
		[ $found = "$expected" ] && continue
		echo "CHANGED: $range"
		state=1
	done
}
is_found yes age=7200s age=3600s: age=1hr: age=2hr size=128b
is_found no age=60min: age=60m: age=60minutes: age=1h: age=7200 age=7200: size=128
echo "expected: all find it"
[ $state = 0 ] && echo "seen: minutes, h and numbers without a unit find nothing"
exit $state
