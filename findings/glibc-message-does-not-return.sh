#!/bin/bash
# glibc's __libc_message returns by its code, and never does for the callers that it has; they are compiled for that.
#
# Package:  libc6 2.36-9+deb12u14 and libc6-dbg (its function names) of Debian 12, unpacked; nothing of it is run
# Input:    the instructions of __libc_message(action, format, ...), and of all that call it.
# Expected: a function that has a `ret` that can be reached comes back to its caller: what follows the call is executed
#           next. Those that do not are marked noreturn, and end in abort, exit or a jump, without a `ret`.
# Seen:     __libc_message has a `test` of its first argument and a `ret` behind it; it is not marked. But all its callers
#           (37) pass 1 (abort), and are compiled for its not coming back: behind 13 calls the next function begins,
#           behind 22 there is code that is jumped to from elsewhere, the rest of another path; 2 call it in a loop.
# So:       who follows glibc's code by its instructions (unwind rules for code that has none, a graph of it) asks whether
#           a callee returns *when called with this argument*; otherwise malloc's own code contradicts itself.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
command -v objdump >/dev/null || untried "this needs binutils"
apt-get download libc6=2.36-9+deb12u14 libc6-dbg=2.36-9+deb12u14 >/dev/null 2>&1 ||
	untried "apt-get cannot fetch libc6 2.36-9+deb12u14 (Debian 12)"
for deb in *.deb; do
	dpkg -x "$deb" root || untried "$deb cannot be unpacked"
done
lib=root/lib/x86_64-linux-gnu/libc.so.6
id=$(readelf -n $lib | sed -n 's/.*Build ID: //p')
nm "root/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug" >names 2>/dev/null || untried "libc6-dbg is not libc6's"
objdump -d --no-show-raw-insn $lib >code

cat >callers.py <<'PYTHON'
import bisect, re
name = {}
for line in open("names"):
    at, kind, text = re.match(r"(\S*) +(\S) (\S+)", line).groups()
    if kind in "tTwWi":
        name.setdefault(int(at, 16), text)
starts = sorted(name)
def function(at):
    return starts[bisect.bisect(starts, at) - 1]
code = [(int(m[1], 16), m[2]) for m in re.finditer(r"^ +([0-9a-f]+):\t(.*)$", open("code").read(), re.M)]
message = next(at for at, text in name.items() if text == "__libc_message")
own = [text for at, text in code if function(at) == message]
has_return = any(re.match(r"ret\b", text) for text in own)
tests_argument = any(re.match(r"test +%edi,%edi", text) for text in own)
jumped_to = {}
for at, text in code:
    m = re.match(r"j\w+ +([0-9a-f]+) ", text)
    if m:
        jumped_to.setdefault(int(m[1], 16), []).append(at)
calls = ones = another = shared = 0
for i, (at, text) in enumerate(code):
    if not re.match(rf"call +{message:x} ", text):
        continue
    calls += 1
    for j in range(i - 1, i - 12, -1):  # the argument: the nearest write of edi before the call
        m = re.match(r"mov +\$0x(\w+),%edi", code[j][1])
        if m or "%edi" in code[j][1].split(",")[-1] or "%rdi" in code[j][1].split(",")[-1]:
            ones += bool(m) and m[1] == "1"
            break
    j = i + 1
    while re.match(r"(data16 |cs )*(nop|xchg +%ax,%ax)", code[j][1]):
        j += 1
    follows = "code of its own: it is called again, in a loop"
    if function(code[j][0]) != function(at):
        another += 1
        follows = f"the next function, {name[function(code[j][0])]}"
    elif code[j][0] in jumped_to:
        shared += 1
        follows = "code that is jumped to from elsewhere"
    print(f"    {name[function(at)]}+{at - function(at):#x}: followed by {follows}")
print("SUM", int(has_return and tests_argument), calls, ones, another, shared)
PYTHON
python3 callers.py >callers || untried "this needs python3"
read -r _ returns calls ones another shared < <(grep ^SUM callers)

echo "glibc 2.36: $calls calls of __libc_message, $ones of them with 1 as the first argument; some of them:"
grep -E '^ *(malloc_printerr|sysmalloc|__GI___libc_(fatal|malloc))\+' callers
echo "expected: a function with a ret returns"
if [ "$returns" != 1 ]; then
	echo "CHANGED: __libc_message has no ret, or does not look at its argument"
	exit 1
fi
if [ "$calls" = 0 ] || [ "$ones" != "$calls" ] || [ $(((another + shared) * 2)) -le "$calls" ]; then
	echo "CHANGED: not all callers pass 1, or their code goes on"
	exit 1
fi
echo "seen: it has a ret behind a test of its argument; $another calls end their function, $shared are followed by code of another path"
