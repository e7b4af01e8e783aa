#!/bin/bash
# bpftrace takes the number in uprobe:FILE:0xN for an address, but in a stripped file for an offset in the file.
#
# Package:  bpftrace 0.17.0-1 (Debian 12; the libraries it needs have to be installed); it needs root
# Input:    a program, linked at 0x400000 (-no-pie), that calls step() seven times; it, and a copy without symbols, are
#           probed at step()'s address (what nm and objdump print) and at its place in the file, 0x400000 less.
# Expected: stripping moves no code: one number, whichever it is, works in both.
# Seen:     with symbols the address counts 7. In the stripped copy the same number is refused (without --unsafe
#           "Could not resolve address", with it the attach fails), and the place in the file counts 7.
# So:       for a stripped file take the address, less its segment's address, plus its segment's offset in the file; that
#           nothing was refused does not show that the number was understood as it was meant.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download bpftrace=0.17.0-1 >/dev/null 2>&1 || untried "apt-get cannot fetch bpftrace 0.17.0-1 (Debian 12)"
dpkg -x bpftrace_*.deb root || untried "the package cannot be unpacked"
command -v nm >/dev/null || untried "this needs binutils"

cat >program.c <<'C'
__attribute__((noinline)) int step(int x) { __asm__ volatile(""); return x + 1; }
int main(void)
{
	int sum = 0;
	for (int i = 0; i < 7; i++)
		sum = step(sum);
	return sum != 7;
}
C
gcc -O1 -no-pie program.c -o whole && strip whole -o stripped || untried "this needs gcc"
address=0x$(nm whole | sed -n 's/^0*\(.*\) T step/\1/p')
offset=$(printf '0x%x' $((address - 0x400000)))

echo "bpftrace 0.17.0, step() at address $address, at $offset in the file:"
# counted FILE PLACE: how many calls bpftrace sees there, or "refused"
counted() {
	local n
	n=$(root/usr/bin/bpftrace --unsafe -e "uprobe:$tmp/$1:$2 { @n = count(); }" -c "$tmp/$1" 2>&1 |
		tee "log.$1.$2" | sed -n 's/^@n: //p')
	echo "${n:-refused}"
}
whole=$(counted whole "$address")
[ "$whole" != refused ] || untried "bpftrace does not run here: $(tail -1 "log.whole.$address")"
stripped=$(counted stripped "$address")
by_offset=$(counted stripped "$offset")
echo "    with symbols $address: $whole; stripped $address: $stripped; stripped $offset: $by_offset"
echo "expected: 7 twice for the address"
if [ "$whole $stripped $by_offset" != "7 refused 7" ]; then
	echo "CHANGED: the two files no longer ask for different numbers"
	exit 1
fi
echo "seen: the address is refused in the stripped file, the place in the file is right there"
