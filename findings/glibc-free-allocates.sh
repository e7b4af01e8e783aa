#!/bin/bash
# In glibc 2.43 a thread's first free() allocates memory, in code that malloc() consists of.
#
# Package:  libc6 2.43-7 and libc6-dbg (its function names), from Debian sid; they are only unpacked. For comparison the
#           glibc at hand (seen: 2.36, Debian 12)
# Input:    malloc(1000) twice, then free() of both; mallinfo2().uordblks, the bytes in use, after each. And the
#           instructions of malloc and free.
# Expected: malloc allocates, and makes the thread's cache (tcache) at its first call; free makes uordblks smaller or,
#           since cached blocks count as in use, leaves it alone. An instruction that malloc jumps to is malloc's.
# Seen:     2.36: 1,664 bytes at the first malloc (1,008 and a cache of 656), nothing at free. 2.43: 1,008 at each malloc,
#           and 768 *more* in use after the first free. free jumps to tcache_free_init, which allocates the cache by
#           __libc_malloc2: what malloc itself ends in, by a jump, whenever its cache has no block.
# So:       a tracer that follows malloc's jump and watches __libc_malloc2 sees an allocation that nobody asked for,
#           within free; and who only frees blocks of other threads allocates all the same.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
command -v objdump >/dev/null || untried "this needs binutils"
mkdir lists
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 2>/dev/null | grep -v security | head -1)
[ -n "$mirror" ] || untried "this needs Debian's apt, and its lists (apt-get update)"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >sources.list
cat >apt.conf <<CONF
Dir::Etc::sourcelist "$tmp/sources.list"; Dir::Etc::sourceparts "/dev/null"; Dir::State::lists "$tmp/lists";
Dir::Cache "$tmp"; APT::Architecture "amd64"; APT::Sandbox::User "root";
CONF
export APT_CONFIG=$tmp/apt.conf
apt-get update >/dev/null 2>&1
apt-get download libc6=2.43-7 libc6-dbg=2.43-7 >/dev/null 2>&1 || untried "apt-get cannot fetch libc6 2.43-7 (Debian sid)"
for deb in *.deb; do
	dpkg -x "$deb" root || untried "$deb cannot be unpacked"
done
lib=root/usr/lib/x86_64-linux-gnu
id=$(readelf -n $lib/libc.so.6 | sed -n 's/.*Build ID: //p')
nm "root/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug" >names 2>/dev/null || untried "libc6-dbg is not libc6's"

cat >program.c <<'C'
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	void *block[2];
	long used[5];
	used[0] = mallinfo2().uordblks;
	for (int i = 0; i < 2; i++) {
		block[i] = malloc(1000);
		used[i + 1] = mallinfo2().uordblks;
	}
	for (int i = 0; i < 2; i++) {
		free(block[i]);
		used[i + 3] = mallinfo2().uordblks;
	}
	for (int i = 1; i < 5; i++)
		fprintf(stderr, "%ld%c", used[i] - used[i - 1], i < 4 ? ' ' : '\n');
	return 0;
}
C
gcc -O0 program.c -o program || untried "this needs gcc"
before=$(./program 2>&1)
now=$($lib/ld-linux-x86-64.so.2 --library-path $lib ./program 2>&1) || untried "glibc 2.43 does not run here: $now"

# STEP...: FROM/HOW/TO, does FROM have a direct call of, or jump to, TO?
objdump -d --no-show-raw-insn $lib/libc.so.6 >code
cat >steps.py <<'PYTHON'
import bisect, re, sys
address = {}
for line in open("names"):
    at, kind, name = re.match(r"(\S*) +(\S) (\S+)", line).groups()
    if kind in "tT":
        address[name] = int(at, 16)
starts = sorted(set(address.values()))
targets = {}
for m in re.finditer(r"^ +([0-9a-f]+):\t(call|jmp) +([0-9a-f]+) ", open("code").read(), re.M):
    start = starts[bisect.bisect(starts, int(m[1], 16)) - 1]
    targets.setdefault((start, m[2]), set()).add(int(m[3], 16))
for step in sys.argv[1:]:
    who, how, to = step.split("/")
    if address[to] not in targets.get((address[who], how), ()):
        raise SystemExit(f"CHANGED: not in the code: {step}")
    print(f"    code: {who} {'calls' if how == 'call' else 'jumps to'} {to}")
PYTHON

echo "uordblks, change after malloc, malloc, free, free:"
echo "    glibc 2.43: $now"
echo "    $(ldd --version | sed -n '1s/^ldd.* \([0-9.]*\)$/glibc \1/p'): $before"
echo "expected: nothing above 0 for free"
state=0
read -r first second free1 free2 <<<"$now"
if [ "$first $second $free2" != "1008 1008 0" ] || [ "$free1" -le 0 ]; then
	echo "CHANGED: the first free no longer allocates"
	state=1
fi
python3 steps.py malloc/jmp/__libc_malloc2 free/jmp/tcache_free_init tcache_free_init/call/tcache_init \
	tcache_init/call/__libc_malloc2 || state=1
[ $state = 0 ] && echo "seen: the first free takes $free1 bytes, through what malloc jumps to"
exit $state
