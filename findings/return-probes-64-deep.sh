#!/bin/bash
# Return probes of a function that is in more than 64 calls at once are left out, and nothing says so.
#
# Package:  bpftrace 0.17.0-1 (Debian 12; the libraries it needs have to be installed); it needs root; the kernel is the
#           one at hand (seen: 6.18)
# Input:    a program whose down() calls itself, 64, 65 and 100 calls deep; its entries and its returns are counted.
# Expected: as many returns as entries: each call returned, and bpftrace reports no lost event.
# Seen:     64 deep: 64 and 64. 65 and 100 deep: all entries, 64 returns. The kernel keeps 64 return addresses a thread
#           (MAX_URETPROBE_DEPTH); of the call beyond it logs a line, once for a probe's life, and goes on without.
# So:       a difference of entries and returns is no count of the calls that are under way; who pairs the two drops the
#           entries that never get a return, or books them with the return of another call.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download bpftrace=0.17.0-1 >/dev/null 2>&1 || untried "apt-get cannot fetch bpftrace 0.17.0-1 (Debian 12)"
dpkg -x bpftrace_*.deb root || untried "the package cannot be unpacked"

cat >program.c <<'C'
#include <stdlib.h>
__attribute__((noinline)) int down(int calls)
{
	__asm__ volatile("" ::: "memory");
	return calls > 1 ? down(calls - 1) + 1 : 1;
}
int main(int argc, char **argv)
{
	return argc < 2 || down(atoi(argv[1])) != atoi(argv[1]);
}
C
gcc -O1 program.c -o program || untried "this needs gcc"

echo "bpftrace 0.17.0, kernel $(uname -r), a function that calls itself:"
seen=
for deep in 64 65 100; do
	root/usr/bin/bpftrace -e "uprobe:$tmp/program:down { @in = count(); } uretprobe:$tmp/program:down { @out = count(); }" \
		-c "$tmp/program $deep" >log 2>&1
	in=$(sed -n 's/^@in: //p' log)
	out=$(sed -n 's/^@out: //p' log)
	[ -n "$in" ] || untried "bpftrace does not run here: $(tail -1 log)"
	echo "    $deep deep: $in entries, ${out:-no} returns$(grep -io 'lost.*' log)"
	seen="$seen $in/$out"
done
echo "expected: as many returns as entries"
if [ "$seen" != " 64/64 65/64 100/64" ]; then
	echo "CHANGED: the returns are not cut off at 64"
	exit 1
fi
echo "seen: never more than 64 returns"
