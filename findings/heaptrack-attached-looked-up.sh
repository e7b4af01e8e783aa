#!/bin/bash
# heaptrack attached to a process sees calls through tables of pointers, but none through a pointer from dlsym().
#
# Package:  heaptrack 1.4.0-2, libheaptrack 1.4.0-2 (Debian 12), unpacked (the libraries they need have to be installed, and
#           gdb); glibc is the one at hand
# Input:    a program that, once heaptrack has attached, calls malloc() 100 times by name, 200 and 400 times through a
#           variable's and a constant's initial value, and 800 times through a pointer that dlsym() had given it before.
# Expected: 1,500 allocations, as heaptrack counts when it starts the program; or 100, if it replaced the calls by name only.
# Seen:     700. It rewrites every word that the dynamic linker has relocated to malloc(), also in read-only data; what the
#           program has looked up itself it cannot know.
# So:       plug-ins, language runtimes and LD_PRELOAD wrappers, which look malloc() up once and keep it, are missing from an
#           attached profile, and nothing in it says so.
set -u

tmp=$(mktemp -d) || exit 2
program=
trap '[ -z "$program" ] || kill "$program" 2>/dev/null; rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
for package in heaptrack=1.4.0-2 libheaptrack=1.4.0-2; do
	apt-get download "$package" >/dev/null 2>&1 || untried "apt-get cannot fetch $package (Debian 12)"
done
for package in *.deb; do dpkg -x "$package" root || untried "a package cannot be unpacked"; done
command -v gdb >/dev/null || untried "this needs gdb"

cat >program.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
struct functions { void *(*allocate)(size_t); };
static struct functions variable = {malloc};
static const struct functions constant = {malloc};
int main(void)
{
	struct functions *volatile by_variable = &variable;
	const struct functions *volatile by_constant = &constant;
	void *(*volatile looked_up)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc");
	int failed = 0;
	char go;

	if (read(0, &go, 1) != 1)
		return 1;
	for (int i = 0; i < 100; i++)
		failed += !malloc(10);
	for (int i = 0; i < 200; i++)
		failed += !by_variable->allocate(20);
	for (int i = 0; i < 400; i++)
		failed += !by_constant->allocate(30);
	for (int i = 0; i < 800; i++)
		failed += !looked_up(40);
	return failed;
}
C
gcc -O0 -w program.c -o program || untried "this needs gcc"
# counted FILE: how many allocations are in a profile
counted() { root/usr/bin/heaptrack_print -f "$1" 2>/dev/null | sed -n 's/^calls to allocation functions: \([0-9]*\).*/\1/p'; }

echo go | root/usr/bin/heaptrack -o started ./program >log 2>&1
started=$(counted started.zst)
[ -n "$started" ] || untried "heaptrack does not run here: $(tail -1 log)"

mkfifo go
./program <go &
program=$!
exec 3>go
root/usr/bin/heaptrack -o attached -p "$program" >log 2>&1 &
heaptrack=$!
for ((i = 0; i < 300; i++)); do
	grep -q "injection finished" log && break
	sleep 0.1
done
grep -q "injection finished" log || untried "heaptrack cannot attach here: $(tail -1 log)"
echo go >&3
wait "$program" "$heaptrack"
attached=$(counted attached.zst)

echo "heaptrack 1.4.0, malloc() called 1,500 times:"
echo "    started with it: $started"
echo "    attached:        $attached"
echo "expected: as many, but for the few of the start"
if [ "$started" -lt 1500 ] || [ "$attached" != 700 ]; then
	echo "CHANGED: an attached heaptrack sees another part of the calls"
	exit 1
fi
echo "seen: the 800 through a pointer from dlsym() are missing"
