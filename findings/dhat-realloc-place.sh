#!/bin/bash
# Valgrind's DHAT books all that realloc() adds at the place of the first malloc(); Valgrind's massif where it was added.
#
# Package:  valgrind 1:3.19.0-1 (Debian 12): --tool=dhat and --tool=massif
# Input:    a program that allocates 1,000 bytes in start(), makes them grow to 100,900 by 999 calls of realloc() in
#           grow(), and frees them as the last thing it does.
# Expected: grow() is a program point with nearly all bytes; and a buffer that is there from the first to the last
#           moment has a lifetime near the program's own.
# Seen:     DHAT: grow() is in no stack. start() has 50,950,000 bytes in 1,000 blocks, and since a block that goes on
#           living counts as another with each realloc(), but lives only once, the average lifetime (tl / tbk) that its
#           viewer shows is 0.1 % of the program's duration. massif, of the same package: grow() has all at the peak.
# So:       in DHAT's files look for who grows buffers under who made them; long lives may look like short ones there.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download valgrind=1:3.19.0-1 >/dev/null 2>&1 || untried "apt-get cannot fetch valgrind 1:3.19.0-1 (Debian 12)"
dpkg -x valgrind_*.deb valgrind || untried "the package cannot be unpacked"

cat >program.c <<'C'
#include <stdlib.h>
static void *volatile buffer;
static volatile unsigned long work;
__attribute__((noinline)) static void start(void) { buffer = malloc(1000); }
__attribute__((noinline)) static void grow(int n) { buffer = realloc(buffer, 1000 + 100 * n); }
int main(void)
{
	start();
	for (int i = 1; i < 1000; i++) {
		grow(i);
		for (int j = 0; j < 1000; j++)
			work += j;
	}
	free(buffer);
	return 0;
}
C
gcc -g -O1 program.c -o program || untried "this needs gcc"
for tool in dhat massif; do
	VALGRIND_LIB=$tmp/valgrind/usr/libexec/valgrind valgrind/usr/bin/valgrind --tool=$tool \
		--$tool-out-file=$tool.out ./program >log 2>&1 || untried "valgrind does not run here: $(tail -1 log)"
done

python3 - <<'PYTHON'
import json, re
profile = json.load(open("dhat.out"))
print("valgrind 3.19.0, 1,000 bytes from start(), grown to 100,900 by 999 calls of grow(); DHAT's program points:")
stacks = ""
for pp in profile["pps"]:
    stack = " < ".join(re.sub(r"^0x\w+: | \(.*", "", profile["ftbl"][frame]) for frame in pp["fs"])
    stacks += stack
    share = pp["tl"] / pp["tbk"] / profile["te"]
    print(f"    {stack}: {pp['tb']:,} bytes in {pp['tbk']:,} blocks, average lifetime {share:.2%} of the program's")
peak = open("massif.out").read().split("heap_tree=peak")[1].split("#")[0]
by_place = {m[2]: int(m[1]) for m in re.finditer(r"n\d+: (\d+) 0x\w+: (grow|start) \(", peak)}
print(f"    massif, at the peak: {by_place}")
print("expected: both show grow(); the buffer lives about as long as the program")
if "grow" in stacks or len(profile["pps"]) != 1 or (pp["tb"], pp["tbk"]) != (50950000, 1000) or share > 0.01:
    print("CHANGED: DHAT shows grow(), or counts the buffer once")
    raise SystemExit(1)
if by_place.get("grow", 0) < 90000:
    print("CHANGED: massif does not show grow() either")
    raise SystemExit(1)
print("seen: DHAT has no grow(), and calls the buffer one of 1,000 short-lived blocks")
PYTHON
