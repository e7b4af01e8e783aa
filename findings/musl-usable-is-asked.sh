#!/bin/bash
# musl's malloc_usable_size() is the size that was asked for, to the byte; in every other allocator it is the room.
#
# Package:  musl-dev 1.2.3-1 (Debian 12), unpacked; glibc is the one at hand (seen: 2.36)
# Input:    a program that allocates blocks of 1, 13, 100, 1,000, 4,001 and 100,001 bytes and prints what is usable of each.
# Expected: sizes rounded up, as with glibc (24, 24, 104, 1000, 4008, 100008): musl has size classes, too, of up to a
#           quarter of waste, and the function's name and manual promise the room.
# Seen:     1 13 100 1000 4001 100001. musl since 1.2.1 writes down how much of a slot is not used, and checks a byte behind
#           the block when it is freed.
# So:       blocks that were there before one came can be told by their exact sizes with musl; but what a block really
#           takes cannot be asked for, and a program that uses malloc_usable_size() to grow in place gains nothing.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download musl-dev=1.2.3-1 >/dev/null 2>&1 || untried "apt-get cannot fetch musl-dev 1.2.3-1 (Debian 12)"
dpkg -x musl-dev_*.deb root || untried "the package cannot be unpacked"

cat >program.c <<'C'
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	static const size_t asked[] = {1, 13, 100, 1000, 4001, 100001};
	for (int i = 0; i < 6; i++) {
		void *volatile block = malloc(asked[i]);
		printf("%s%zu", i ? " " : "", malloc_usable_size(block));
	}
	return 0;
}
C
musl=$tmp/root/usr/lib/x86_64-linux-musl
gcc -O1 program.c -o with_glibc || untried "this needs gcc"
gcc -O1 -static -nostdinc -isystem "$tmp/root/usr/include/x86_64-linux-musl" -fno-stack-protector -no-pie -nostdlib \
	"$musl/crt1.o" program.c "$musl/libc.a" -o with_musl || untried "musl's libc.a cannot be linked here"

glibc=$(./with_glibc)
musl=$(./with_musl) || untried "the program does not run"
echo "asked: 1 13 100 1000 4001 100001; usable:"
echo "    glibc at hand: $glibc"
echo "    musl 1.2.3:    $musl"
echo "expected: rounded up in both"
if [ "$glibc" = "1 13 100 1000 4001 100001" ] || [ "$musl" != "1 13 100 1000 4001 100001" ]; then
	echo "CHANGED: it is no longer musl alone that says what was asked for"
	exit 1
fi
echo "seen: musl says what was asked for"
