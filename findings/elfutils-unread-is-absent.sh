#!/bin/bash
# elfutils calls debug information that it cannot decompress none at all; its own distribution's objcopy writes it.
#
# Packages: libdw1, libelf1, elfutils 0.188-2.1 and binutils 2.40-2 (Debian 12)
# Input:    a program with debug information, as it is, with zstd-compressed debug sections (`objcopy
#           --compress-debug-sections=zstd`, an ELF standard since 2022: ch_type 2), and with none (`strip -g`).
# Expected: what objcopy of one release writes the same release's readers read; a reader that lacks a kind of compression
#           says so, as libdw does for an unknown DWARF version.
# Seen:     addr2line of binutils reads the zstd one. dwarf_begin() fails with "no DWARF information", the words for a
#           program without any; eu-addr2line ends with 0 and prints function, ??:0, and nothing on stderr.
# So:       before believing libdw that there is nothing, look for SHF_COMPRESSED sections with a ch_type other than 1.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download libdw1=0.188-2.1 libelf1=0.188-2.1 elfutils=0.188-2.1 libasm1=0.188-2.1 binutils-x86-64-linux-gnu=2.40-2 \
	libbinutils=2.40-2 >/dev/null 2>&1 || untried "apt-get cannot fetch elfutils 0.188-2.1 and binutils 2.40-2 (Debian 12)"
for deb in *.deb; do
	dpkg -x "$deb" root || untried "$deb cannot be unpacked"
done
export LD_LIBRARY_PATH=$tmp/root/usr/lib/x86_64-linux-gnu
bin=root/usr/bin

cat >program.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int answer(int x) { return x * 42; }
int main(int argc, char **argv) { return printf("%d %zu\n", answer(argc), strlen(argv[0])) < 0; }
C
gcc -g3 -O1 -fno-inline program.c -o plain || untried "this needs gcc"
$bin/x86_64-linux-gnu-objcopy --compress-debug-sections=zstd plain zstd || untried "objcopy does not run here"
$bin/x86_64-linux-gnu-strip -g plain -o none
address=0x$(nm plain | sed -n 's/ T answer//p')

cat >open.py <<'PYTHON'
import ctypes, os, sys
libelf = ctypes.CDLL("libelf.so.1", ctypes.RTLD_GLOBAL)
libdw = ctypes.CDLL("libdw.so.1")
libdw.dwarf_begin.restype = ctypes.c_void_p
libdw.dwarf_errmsg.restype = ctypes.c_char_p
libelf.elf_version(1)
opened = libdw.dwarf_begin(os.open(sys.argv[1], os.O_RDONLY), 0)
print("opened" if opened else libdw.dwarf_errmsg(-1).decode())
PYTHON

for file in plain zstd none; do
	python3 open.py $file >$file.libdw || untried "this needs python3"
	$bin/eu-addr2line -f -e $file "$address" >$file.eu 2>$file.eu.words
	echo "$?" >>$file.eu.words
	$bin/x86_64-linux-gnu-addr2line -f -e $file "$address" >$file.binutils
	echo "$file: dwarf_begin(): $(<$file.libdw); eu-addr2line: $(paste -sd' ' $file.eu | sed "s|$tmp/||")," \
		"on stderr and status: $(paste -sd' ' $file.eu.words); addr2line: $(paste -sd' ' $file.binutils | sed "s|$tmp/||")"
done
echo "expected: plain and zstd alike, or words about the compression"
if ! grep -q 'program.c:4' zstd.binutils || ! grep -q 'program.c:4' plain.eu || [ "$(<plain.libdw)" != opened ]; then
	echo "CHANGED: binutils does not read the zstd sections, or elfutils not even the plain ones"
	exit 1
fi
if [ "$(<zstd.libdw)" != "no DWARF information" ] || ! cmp -s zstd.libdw none.libdw; then
	echo "CHANGED: libdw reads the zstd sections, or says why not"
	exit 1
fi
if [ "$(<zstd.eu.words)" != 0 ] || ! cmp -s zstd.eu none.eu; then
	echo "CHANGED: eu-addr2line says more of the zstd sections than of none"
	exit 1
fi
echo "seen: to elfutils the zstd program has no debug information, to binutils it has"
