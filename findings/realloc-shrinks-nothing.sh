#!/bin/bash
# realloc() to somewhat more than half of a block gives nothing back with tcmalloc and mimalloc: the whole block stays.
#
# Package:  libtcmalloc-minimal4 2.10-1, libmimalloc2.0 2.0.9+ds-2, libjemalloc2 5.3.0-1 (Debian 12), unpacked; glibc is
#           the one at hand (seen: 2.36)
# Input:    a program that allocates 64 blocks of 1 MiB, writes all of them, reallocates each to 600,000 bytes and reads
#           what is usable of them, and what of them is resident.
# Expected: about 600,000 bytes each, the rest is free: a third and more of the memory could serve other blocks.
# Seen:     glibc 602,096 (27 MiB go back to the kernel at once) and jemalloc 655,360 usable. tcmalloc and mimalloc:
#           1,048,576, nothing is free for others, until a block shrinks to less than half (500,000: 507,904 and 524,288).
# So:       a buffer "shrunk to fit" (Vec::shrink_to_fit, std::string::shrink_to_fit by realloc) may hold up to twice of what
#           it says; bytes that were asked for do not add up to what the process has, and no block is to blame.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
for package in libtcmalloc-minimal4=2.10-1 libmimalloc2.0=2.0.9+ds-2 libjemalloc2=5.3.0-1; do
	apt-get download "$package" >/dev/null 2>&1 || untried "apt-get cannot fetch $package (Debian 12)"
done
for package in *.deb; do dpkg -x "$package" root || untried "a package cannot be unpacked"; done

cat >program.c <<'C'
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static long resident_kib(void)
{
	char line[256];
	long kib = 0;
	FILE *status = fopen("/proc/self/status", "r");
	while (fgets(line, sizeof(line), status))
		sscanf(line, "VmRSS: %ld", &kib);
	fclose(status);
	return kib;
}
int main(void)
{
	static char *block[64];
	for (int i = 0; i < 64; i++)
		memset(block[i] = malloc(1 << 20), 1, 1 << 20);
	long before = resident_kib();
	for (int i = 0; i < 64; i++)
		block[i] = realloc(block[i], 600000);
	printf("%zu %ld ", malloc_usable_size(block[9]), (before - resident_kib()) / 1024);
	block[9] = realloc(block[9], 500000);
	printf("%zu\n", malloc_usable_size(block[9]));
	return 0;
}
C
gcc -O1 program.c -o program || untried "this needs gcc"

lib=$tmp/root/usr/lib/x86_64-linux-gnu
# shrunk [LIBRARY]: what the program prints, with that library's malloc
shrunk() { LD_PRELOAD=${1:+$lib/$1} ./program; }
echo "64 blocks of 1 MiB to 600,000 bytes each: usable of one, MiB of RSS given back; usable of one of 500,000"
glibc=$(shrunk) && jemalloc=$(shrunk libjemalloc.so.2) && tcmalloc=$(shrunk libtcmalloc_minimal.so.4) &&
	mimalloc=$(shrunk libmimalloc.so.2.0) || untried "an allocator does not run here"
printf '    %s: %s\n' glibc "$glibc" jemalloc "$jemalloc" tcmalloc "$tcmalloc" mimalloc "$mimalloc"
echo "expected: some 600,000 usable of each"
if [ "${tcmalloc%% *} ${mimalloc%% *}" != "1048576 1048576" ]; then
	echo "CHANGED: tcmalloc or mimalloc gives back what a block shrinks by"
	exit 1
fi
if [ "${jemalloc%% *}" != 655360 ] || [ "${glibc%% *}" -gt 610000 ]; then
	echo "CHANGED: glibc or jemalloc keeps what a block shrinks by"
	exit 1
fi
echo "seen: tcmalloc and mimalloc keep the whole block"
