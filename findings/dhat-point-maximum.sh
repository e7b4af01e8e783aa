#!/bin/bash
# Valgrind's DHAT says 0 for the most that a program point ever held, unless it allocates while the heap is at its peak.
#
# Package:  valgrind 1:3.19.0-1 (Debian 12)
# Input:    a program that allocates 100 blocks of 10,000 bytes in early(), frees them, then 90 such blocks in late(),
#           and frees them.
# Expected: the file's mb and mbk, the most bytes and blocks that a point held at once, are 900,000 and 90 for late().
# Seen:     0 and 0, beside total bytes (tb) of 900,000: the maxima are written only while the whole heap is larger
#           than ever before.
# So:       mb and mbk are no reference for another profiler's; tb, tl, gb and eb are.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download valgrind=1:3.19.0-1 >/dev/null 2>&1 || untried "apt-get cannot fetch valgrind 1:3.19.0-1 (Debian 12)"
dpkg -x valgrind_*.deb valgrind || untried "the package cannot be unpacked"

cat >program.c <<'C'
#include <stdlib.h>
static void *volatile blocks[100];
__attribute__((noinline)) static void free_all(int n) { while (n--) free(blocks[n]); }
__attribute__((noinline)) static void early(void) { for (int i = 0; i < 100; i++) blocks[i] = malloc(10000); free_all(100); }
__attribute__((noinline)) static void late(void) { for (int i = 0; i < 90; i++) blocks[i] = malloc(10000); free_all(90); }
int main(void) { early(); late(); return 0; }
C
gcc -g -O1 program.c -o program || untried "this needs gcc"
VALGRIND_LIB=$tmp/valgrind/usr/libexec/valgrind valgrind/usr/bin/valgrind --tool=dhat \
	--dhat-out-file=out.json ./program >log 2>&1 || untried "valgrind does not run here: $(tail -1 log)"

python3 - <<'PYTHON'
import json
profile = json.load(open("out.json"))
point = {}
for pp in profile["pps"]:
    stack = " ".join(profile["ftbl"][frame] for frame in pp["fs"])
    point["late" if "late (" in stack else "early" if "early (" in stack else "other"] = pp
print("valgrind 3.19.0, early() holds 100 blocks of 10,000 bytes at once, then late() 90:")
for name in "early", "late":
    print(f"    {name:5}  total tb {point[name]['tb']:,}  most at once mb {point[name]['mb']:,} in mbk {point[name]['mbk']} blocks")
print("expected: late's mb is 900,000, mbk 90")
if (point["early"]["mb"], point["late"]["tb"], point["late"]["mb"], point["late"]["mbk"]) != (1000000, 900000, 0, 0):
    print("CHANGED: late's maximum is no longer 0")
    raise SystemExit(1)
print("seen: late's mb and mbk are 0")
PYTHON
