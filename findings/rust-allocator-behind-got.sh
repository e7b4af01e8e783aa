#!/bin/bash
# In a stripped Rust program the calls through the GOT to its own code give its allocator away.
#
# Package:  @biomejs/cli-linux-x64 2.6.8 (npm): dynamic, stripped, with a jemalloc 5.3.0 linked in
# Input:    the executable's code and relocations; then `biome --version` under gdb.
# Expected: `call *slot(%rip)` is for functions of other libraries: where the function is in the same file, the linker
#           has made a direct call of it. And malloc, which biome imports from glibc, is what allocates.
# Seen:     four of five such calls (130,163 of 162,529) go to the file's own code. There they have but 102
#           targets, and 98 % go to two: jemalloc's sized deallocation (pointer, size, flags) and malloc (size). The
#           second ran 19,816 times while every malloc of glibc and the loader together ran 44 times.
# So:       a handful of GOT targets are all the ways into an allocator that has no symbols (@rspack's
#           linux-x64-gnu binding 2.3.3 has the same shape: 97 % of 85,931 calls to two of 44 targets).
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

command -v readelf >/dev/null && command -v gdb >/dev/null || untried "this needs binutils and gdb"
npm pack --silent --pack-destination "$tmp" @biomejs/cli-linux-x64@2.6.8 >/dev/null 2>&1 ||
	untried "npm cannot fetch @biomejs/cli-linux-x64 2.6.8"
tar -xzf "$tmp"/*.tgz -C "$tmp" package/biome || untried "the package cannot be unpacked"
export BIOME=$tmp/package/biome

cat >"$tmp/static.py" <<'PYTHON'
import collections, os, re, struct, subprocess
data = open(os.environ["BIOME"], "rb").read()
section = {m[1]: [int(x, 16) for x in m[2].split()] for m in re.finditer(
    r"^ *\[ *\d+\] (\S+) +\S+ +((?:[0-9a-f]+ ){3})", subprocess.getoutput("readelf -SW $BIOME"), re.M)}
start, offset, size = section[".text"]  # address, place in the file, bytes
_, rela, rela_size = section[".rela.dyn"]
target_by_slot = {}
for slot, info, addend in struct.iter_unpack("<QQq", data[rela:rela + rela_size]):
    target_by_slot[slot] = addend if info == 8 else 0  # R_X86_64_RELATIVE: the file's own; else another's
calls = collections.Counter()
for m in re.finditer(rb"\xff\x15(?=(....))", data[offset:offset + size], re.S):  # call *disp32(%rip)
    slot = start + m.start() + 6 + struct.unpack("<i", m[1])[0]
    if slot in target_by_slot:
        calls[target_by_slot[slot]] += 1
own = collections.Counter({t: n for t, n in calls.items() if start <= t < start + size})
print(calls.total(), own.total(), len(own), *[x for pair in own.most_common(2) for x in pair])
PYTHON
read -r all own targets first first_calls second second_calls < <(python3 "$tmp/static.py")
[ -n "${second_calls-}" ] || untried "the executable cannot be read (python3 3.10 or newer is needed)"

cat >"$tmp/count.py" <<PYTHON
class Count(gdb.Breakpoint):
    def stop(self):
        self.sizes = getattr(self, "sizes", []) + [int(gdb.parse_and_eval("(unsigned long)\$" + self.register))]
        return False
gdb.execute("starti --version >/dev/null", to_string=True)
maps = gdb.execute("info proc mappings", to_string=True).splitlines()
base = int(next(line for line in maps if line.endswith("package/biome")).split()[0], 16)
gave, took, glibc = [Count(where) for where in (f"*{base + $first}", f"*{base + $second}", "malloc")]
gave.register, took.register, glibc.register = "rsi", "rdi", "rdi"
gdb.execute("continue", to_string=True)
known = set(took.sizes)
print("COUNTS", len(took.sizes), len(gave.sizes), sum(size in known for size in gave.sizes), len(getattr(glibc, "sizes", [])))
PYTHON
read -r _ took gave matched glibc < <(gdb -nx -batch -iex 'set auto-load off' -iex 'set debuginfod enabled off' \
	-iex 'set breakpoint pending on' -x "$tmp/count.py" "$BIOME" 2>/dev/null | grep ^COUNTS)
[ -n "${glibc-}" ] || untried "gdb cannot run biome here"

echo "biome 2.6.8: $all calls through the GOT, $own of them to its own code, which have $targets targets;"
printf '    %d go to %#x, %d to %#x\n' "$first_calls" "$first" "$second_calls" "$second"
echo "    biome --version: the latter is called $took times, glibc's malloc $glibc times; of $gave calls of the former" \
	"$matched have as second argument a size that the latter was asked for"
echo "expected: calls through the GOT go to other libraries, and allocations to glibc's malloc"
if [ $((own * 2)) -lt "$all" ] || [ $(((first_calls + second_calls) * 10)) -lt $((own * 9)) ] ||
	[ "$took" -lt $((glibc * 10)) ] || [ $((matched * 10)) -lt $((gave * 9)) ]; then
	echo "CHANGED: the two targets called most are not the allocator"
	exit 1
fi
echo "seen: most go to its own code, nearly all of them to two functions, which are the allocator"
