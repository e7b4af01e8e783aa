#!/bin/bash
# glibc's main heap is one mapping named [heap], or three, or none at all: as the tunable glibc.malloc.hugetlb says.
#
# Package:  libc6 2.36-9+deb12u14 (Debian 12), unpacked; the kernel is the one at hand (seen: 6.18, transparent huge pages
#           on madvise, no huge pages reserved)
# Input:    a program of one thread that allocates 8,000 blocks of 1,000 bytes and looks in /proc/self/maps for the
#           mappings that hold them, with glibc.malloc.hugetlb 0 (the default), 1 and 2.
# Expected: the main heap is what /proc/PID/maps calls [heap], one line; hugetlb changes what pages it is made of. 2 asks
#           for reserved huge pages, and where there are none all is as with 0.
# Seen:     0: one [heap] holds all. 1: glibc advises huge pages for each piece that it adds, from an aligned address on,
#           which splits the mapping: three lines [heap], all with blocks. 2: not one huge page is to be had, and the heap
#           is in a nameless mapping between the libraries all the same; there is no [heap].
# So:       who reads a process's heap takes all adjacent [heap] lines together, and does not conclude from there being
#           none that malloc is not glibc's.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download libc6=2.36-9+deb12u14 >/dev/null 2>&1 || untried "apt-get cannot fetch libc6 2.36-9+deb12u14 (Debian 12)"
dpkg -x libc6_*.deb root || untried "the package cannot be unpacked"
grep -q '\[madvise\]' /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null ||
	untried "this needs transparent huge pages set to madvise (the kernel's default)"
[ "$(</proc/sys/vm/nr_hugepages)" = 0 ] || untried "huge pages are reserved here"

cat >program.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void)
{
	static unsigned long block[8000];
	static char line[4096];
	FILE *maps = fopen("/proc/self/maps", "r");
	int named = 0, nameless = 0, in_named = 0, in_nameless = 0;

	for (int i = 0; i < 8000; i++)
		block[i] = (unsigned long)malloc(1000);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end;
		int held = 0, is_heap = strstr(line, "[heap]") != NULL;
		if (sscanf(line, "%lx-%lx", &start, &end) != 2)
			return 1;
		for (int i = 0; i < 8000; i++)
			held += block[i] >= start && block[i] < end;
		*(is_heap ? &named : &nameless) += held > 0;
		*(is_heap ? &in_named : &in_nameless) += held;
	}
	printf("%d %d %d %d\n", named, in_named, nameless, in_nameless);
	return 0;
}
C
lib=$tmp/root/lib/x86_64-linux-gnu
gcc -O1 program.c -o program -Wl,--dynamic-linker="$lib/ld-linux-x86-64.so.2" -Wl,-rpath,"$lib" ||
	untried "this needs gcc"

echo "glibc 2.36, kernel $(uname -r), 8,000 blocks of 1,000 bytes; glibc.malloc.hugetlb:"
declare -A seen
for hugetlb in 0 1 2; do
	seen[$hugetlb]=$(GLIBC_TUNABLES=glibc.malloc.hugetlb=$hugetlb ./program) || untried "glibc 2.36 does not run here"
	read -r named in_named nameless in_nameless <<<"${seen[$hugetlb]}"
	echo "    $hugetlb: $named named [heap] with $in_named blocks, $nameless nameless with $in_nameless"
done
echo "expected: 1 named [heap] with 8000 blocks, three times"
if [ "${seen[0]}" != "1 8000 0 0" ]; then
	echo "CHANGED: even without the tunable the heap is not one mapping"
	exit 1
fi
read -r named in_named _ <<<"${seen[1]}"
if [ "$named" -lt 2 ] || [ "$in_named" != 8000 ]; then
	echo "CHANGED: with hugetlb=1 the heap is one mapping"
	exit 1
fi
if [ "${seen[2]}" != "0 0 1 8000" ]; then
	echo "CHANGED: with hugetlb=2 the heap is in [heap]"
	exit 1
fi
echo "seen: with 1 the heap is $named mappings, with 2 none has its name"
