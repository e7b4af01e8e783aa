#!/bin/bash
# pprof throws a profile's own names away for those of whatever file is at the mapping's path, unless told not to.
#
# Package:  golang-1.19-go 1.19.8-2 (Debian 12): `go tool pprof`
# Input:    a profile with function, file and line of its one sample (as_written, written.c:7), whose mapping names a
#           program that is there, and has another function at this address: what it is after an upgrade. Three times:
#           Mapping.has_functions unset (its default), set, and unset with a path where nothing is.
# Expected: names that were written are shown; a binary is asked only for locations that have none.
# Seen:     has_functions unset: the function in the binary, with the line of its source; nothing says that another
#           name was in the profile. Set, or with the binary gone, the written name.
# So:       the same file shows other functions on another machine, and after an upgrade wrong ones. Who writes names
#           sets has_functions, in every mapping.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download golang-1.19-go=1.19.8-2 >/dev/null 2>&1 ||
	untried "apt-get cannot fetch golang-1.19-go 1.19.8-2 (Debian 12)"
dpkg -x golang-1.19-go_*.deb go || untried "the package cannot be unpacked"
pprof=go/usr/lib/go-1.19/pkg/tool/linux_amd64/pprof

cat >program.c <<'C'
__attribute__((noinline)) int of_the_binary(int x)
{
	return x * 42;
}
int main(int argc, char **argv) { return of_the_binary(argc) + !argv; }
C
gcc -g -O1 -no-pie program.c -o program || untried "this needs gcc"
address=$(nm program | sed -n 's/ T of_the_binary//p')

python3 - "$tmp/program" "0x$address" <<'PYTHON' || untried "this needs python3"
import sys
def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)
def number(field, n):
    return varint(field << 3) + varint(n)
def message(field, body):
    return varint(field << 3 | 2) + varint(len(body)) + body

path, address = sys.argv[1], int(sys.argv[2], 16)
page = address & ~4095
for file, path, has_functions in ("unset", path, 0), ("set", path, 1), ("gone", path + ".gone", 0):
    profile = message(1, number(1, 1) + number(2, 2))
    profile += message(2, number(1, 1) + number(2, 1000))
    profile += message(3, number(1, 1) + number(2, page) + number(3, page + 4096) + number(4, page - 0x400000) + number(5, 5)
                       + number(7, has_functions))
    profile += message(4, number(1, 1) + number(2, 1) + number(3, address) + message(4, number(1, 1) + number(2, 7)))
    profile += message(5, number(1, 1) + number(2, 3) + number(4, 4))
    for text in "", "space", "bytes", "as_written", "written.c", path:
        profile += message(6, text.encode())
    open(file + ".pb", "wb").write(profile)
PYTHON

echo "pprof of Go 1.19.8, a profile that names as_written; has_functions:"
for file in unset set gone; do
	PPROF_TMPDIR=$tmp "$pprof" -lines -top $file.pb >$file.txt 2>$file.log || untried "pprof does not read $file.pb"
	echo "    $file: $(sed '1,/flat%/d; s/.*% *//' $file.txt | sed "s|$tmp/||")"
done
echo "expected: as_written three times"
if ! grep -q as_written set.txt || ! grep -q as_written gone.txt; then
	echo "CHANGED: the written name is not shown even with has_functions, or without the binary"
	exit 1
fi
if grep -q as_written unset.txt || ! grep -q of_the_binary unset.txt; then
	echo "CHANGED: the written name is kept without has_functions"
	exit 1
fi
if [ -s unset.log ]; then
	echo "CHANGED: pprof says something: $(cat unset.log)"
	exit 1
fi
echo "seen: without has_functions the name is replaced, and not a word is said"
