#!/bin/bash
# A stripped Rust program tells its hidden allocator if asked, but calls the variable by a name that does not work.
#
# Package:  @biomejs/cli-linux-x64 2.6.8 (npm): dynamic, stripped, with a jemalloc 5.3.0 linked in
# Input:    `biome --version` with confirm_conf:true in MALLOC_CONF, then in _RJEM_MALLOC_CONF.
# Expected: a program that imports malloc and free from glibc, exports none and needs no other allocator's library
#           allocates with glibc. If it is jemalloc after all, its settings are read from MALLOC_CONF.
# Seen:     nothing in the symbol table or among the libraries shows jemalloc, and MALLOC_CONF does nothing. With
#           _RJEM_MALLOC_CONF jemalloc answers, and reports the text as "the environment variable MALLOC_CONF".
# So:       imports do not tell who allocates; a jemalloc built with a function prefix (what Rust's crate does) reads
#           a variable with that prefix in capitals, whatever its own messages say.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

command -v readelf >/dev/null || untried "this needs binutils"
npm pack --silent --pack-destination "$tmp" @biomejs/cli-linux-x64@2.6.8 >/dev/null 2>&1 ||
	untried "npm cannot fetch @biomejs/cli-linux-x64 2.6.8"
tar -xzf "$tmp"/*.tgz -C "$tmp" package/biome || untried "the package cannot be unpacked"
biome=$tmp/package/biome

readelf -sW "$biome" >"$tmp/symbols"
readelf -dW "$biome" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' >"$tmp/libraries"
MALLOC_CONF=confirm_conf:true "$biome" --version >"$tmp/plain" 2>&1 || untried "biome does not run here"
_RJEM_MALLOC_CONF=confirm_conf:true "$biome" --version >"$tmp/prefixed" 2>&1

echo "biome 2.6.8 needs $(paste -sd' ' "$tmp/libraries"), and has of malloc and jemalloc these symbols:"
grep -E ' (malloc|free)(@|$)|jemalloc|_rjem' "$tmp/symbols" | awk '{ print "    " $8, $7 == "UND" ? "imported" : "defined" }'
echo "expected: it uses glibc's malloc, or else jemalloc that reads MALLOC_CONF"
echo "with MALLOC_CONF=confirm_conf:true it prints $(grep -c jemalloc "$tmp/plain") lines of jemalloc's;" \
	"with _RJEM_MALLOC_CONF=confirm_conf:true $(grep -c jemalloc "$tmp/prefixed"), one of them:"
grep 'environment variable' "$tmp/prefixed" | sed 's/^/    /'

if grep -qE '(jemalloc|_rjem)' "$tmp/symbols" "$tmp/libraries" || ! grep -qE ' UND malloc(@|$)' "$tmp/symbols"; then
	echo "CHANGED: the symbols or libraries show whose allocator it is"
	exit 1
fi
if grep -q jemalloc "$tmp/plain"; then
	echo "CHANGED: MALLOC_CONF is read"
	exit 1
fi
if ! grep -q 'environment variable MALLOC_CONF.*"confirm_conf:true"' "$tmp/prefixed"; then
	echo "CHANGED: _RJEM_MALLOC_CONF is not read, or is reported by its name"
	exit 1
fi
echo "seen: it is jemalloc, MALLOC_CONF is not read, and _RJEM_MALLOC_CONF is, under the other's name"
