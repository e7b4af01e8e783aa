#!/bin/bash
# heaptrack sees posix_memalign(), aligned_alloc() and valloc(), but neither memalign() nor pvalloc().
#
# Package:  heaptrack 1.4.0-2 (Debian 12), unpacked (the libraries it needs have to be installed); glibc is the one at hand
# Input:    a program that allocates 100 blocks by one function of glibc's, for each of six, under heaptrack.
# Expected: 100 allocations more than without, for each.
# Seen:     100 for malloc, posix_memalign, aligned_alloc and valloc; 0 for memalign and pvalloc: no bytes at the peak, no
#           leak, no word of it. Their free() is seen, of a block that nobody allocated.
# So:       a profile that adds up may lack whole functions; look at what a program imports (nm -D) first.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
for package in heaptrack=1.4.0-2 libheaptrack=1.4.0-2; do
	apt-get download "$package" >/dev/null 2>&1 || untried "apt-get cannot fetch $package (Debian 12)"
done
for package in *.deb; do dpkg -x "$package" root || untried "a package cannot be unpacked"; done

cat >program.c <<'C'
#include <malloc.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	static void *volatile block[100];
	void *aligned;
	for (int i = 0; argc > 1 && i < 100; i++)
		switch (atoi(argv[1])) {
		case 1: block[i] = malloc(1000); break;
		case 2: block[i] = posix_memalign(&aligned, 64, 1000) ? NULL : aligned; break;
		case 3: block[i] = aligned_alloc(64, 1024); break;
		case 4: block[i] = valloc(1000); break;
		case 5: block[i] = memalign(64, 1000); break;
		case 6: block[i] = pvalloc(1000); break;
		}
	return 0;
}
C
gcc -O1 -w program.c -o program || untried "this needs gcc"

# calls NUMBER: how many allocations heaptrack counts
calls() {
	root/usr/bin/heaptrack -o "profile$1" ./program "$1" >log 2>&1
	root/usr/bin/heaptrack_print -f "$(ls profile"$1".*)" 2>/dev/null |
		sed -n 's/^calls to allocation functions: \([0-9]*\).*/\1/p'
}
none=$(calls 0)
[ -n "$none" ] || untried "heaptrack does not run here: $(tail -1 log)"
seen=
echo "heaptrack 1.4.0, 100 blocks by each:"
n=1
for function in malloc posix_memalign aligned_alloc valloc memalign pvalloc; do
	counted=$(($(calls $n) - none))
	echo "    $function: $counted"
	seen="$seen $counted"
	n=$((n + 1))
done
echo "expected: 100 each"
if [ "$seen" != " 100 100 100 100 0 0" ]; then
	echo "CHANGED: another set of functions is seen"
	exit 1
fi
echo "seen: nothing of memalign and pvalloc"
