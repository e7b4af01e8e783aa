#!/bin/bash
# pprof merges overloads when a function's system_name repeats its readable name.
#
# Package:  golang-1.19-go 1.19.8-2 (Debian 12): `go tool pprof`
# Input:    two profiles, the same but for Function.system_name, of two functions:
#           std::vector<int>::push_back(int) with 1,000 bytes, std::vector<char>::push_back(char) with 300.
#           One says system_name = linkage name (_ZNSt6vector...), the other repeats the readable name, which is what
#           a writer does that knows no linkage name and would rather not leave the field empty.
# Expected: both show two functions, by the names written.
# Seen:     where the two fields are the same, pprof takes the name for one that it has to demangle: <...> and (...) are
#           cut off, and what is the same then is one function: std::vector::push_back with 1,300 bytes.
# So:       system_name is the linkage name, or empty.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download golang-1.19-go=1.19.8-2 >/dev/null 2>&1 ||
	untried "apt-get cannot fetch golang-1.19-go 1.19.8-2 (Debian 12)"
dpkg -x golang-1.19-go_*.deb go || untried "the package cannot be unpacked"
pprof=go/usr/lib/go-1.19/pkg/tool/linux_amd64/pprof

python3 - <<'PYTHON' || untried "this needs python3"
def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)
def number(field, n):
    return varint(field << 3) + varint(n)
def message(field, body):
    return varint(field << 3 | 2) + varint(len(body)) + body

INT, CHAR = "std::vector<int>::push_back(int)", "std::vector<char>::push_back(char)"
for file, system_names in (("repeated", (INT, CHAR)), ("linkage", ("_ZNSt6vectorIiE9push_backEi", "_ZNSt6vectorIcE9push_backEc"))):
    strings = ["", "space", "bytes", INT, CHAR] + list(system_names)
    profile = message(1, number(1, 1) + number(2, 2))
    for i, size in (1, 1000), (2, 300):
        profile += message(2, number(1, i) + number(2, size))
        profile += message(4, number(1, i) + message(4, number(1, i)))
        profile += message(5, number(1, i) + number(2, i + 2) + number(3, strings.index(system_names[i - 1])
                                                                    if file == "repeated" else i + 4))
    for text in strings:
        profile += message(6, text.encode())
    open(file + ".pb", "wb").write(profile)
PYTHON

for file in linkage repeated; do
	PPROF_TMPDIR=$tmp "$pprof" -top "$file.pb" >"$file.txt" 2>/dev/null || untried "pprof does not read $file.pb"
	echo "pprof of Go 1.19.8, system_name: $file name"
	sed '1,/flat%/d; s/^/    /' "$file.txt"
done
echo "expected: two functions in both"
if ! grep -q 'push_back(int)' linkage.txt || ! grep -q 'push_back(char)' linkage.txt; then
	echo "CHANGED: names are cut with a linkage name, too"
	exit 1
fi
if grep -qE 'push_back\((int|char)\)' repeated.txt || ! grep -q 'std::vector::push_back$' repeated.txt; then
	echo "CHANGED: a repeated name is left whole"
	exit 1
fi
echo "seen: a system_name that repeats the name makes one function of the two"
