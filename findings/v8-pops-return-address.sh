#!/bin/bash
# V8's calls of C++ callbacks begin by taking their own return address off the stack.
#
# Package:  @cloudflare/workerd-linux-64 1.20261117.1 (npm): V8 with its symbols
# Input:    the instructions of V8's builtins in the executable (node 20 has them as well).
# Expected: at the first instructions of a function the return address is at rsp, and it stays there until `ret`;
#           code that pops it is an end of the stack (clone's child, a thread's start).
# Seen:     Builtins_CallApiCallback*, CallApiGetter, CallNamedInterceptor* begin with `pop %rax`: arguments go above
#           the return address, which is pushed back further down. In between it is in a register only: there is a
#           caller, but not where every rule for unwinding looks, and no .eh_frame entry covers this code.
# So:       a tool that makes unwind rules out of instructions takes a pop of the return address for "not known
#           here", never for "outermost"; otherwise most stacks of a node server are cut and look complete.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

command -v objdump >/dev/null || untried "this needs binutils"
npm pack --silent --pack-destination "$tmp" @cloudflare/workerd-linux-64@1.20261117.1 >/dev/null 2>&1 ||
	untried "npm cannot fetch @cloudflare/workerd-linux-64 1.20261117.1"
tar -xzf "$tmp"/*.tgz -C "$tmp" package/bin/workerd || untried "the package cannot be unpacked"
workerd=$tmp/package/bin/workerd

nm "$workerd" | grep ' Builtins_' | sort >"$tmp/builtins" # by address
start=$(head -1 "$tmp/builtins" | cut -d' ' -f1)
stop=$(tail -1 "$tmp/builtins" | cut -d' ' -f1)
objdump -d --no-show-raw-insn --start-address="0x$start" --stop-address="0x$stop" "$workerd" >"$tmp/code"

# From each builtin's start up to the first jump, call or change of rsp: a pop with nothing pushed before it takes the
# return address; the same register pushed later puts it back.
awk -F'\t' '
	/^[0-9a-f]+ <Builtins_/ { split($1, name, /[<>]/); pushed = 0; popped = ""; reading = 1; next }
	!reading { next }
	$2 ~ /^(j|call|ret|int3|leave)/ || $2 ~ /,%rsp *$/ { reading = 0; next }
	$2 ~ /^push/ { pushed++; if (popped && $2 ~ "%" popped " *$") { print name[2], popped; reading = 0 } }
	$2 ~ /^pop/ { if (pushed) { pushed--; next } match($2, /%[a-z0-9]+/); popped = substr($2, RSTART + 1, RLENGTH - 1) }
' "$tmp/code" | sort -u >"$tmp/poppers"

echo "workerd 1.20261117.1, builtins that pop their return address and push it again further down:"
sed 's/^\(.*\) \(.*\)/    \1 (in \2 meanwhile)/' "$tmp/poppers"
echo "    the first instructions of Builtins_CallApiCallbackGeneric:"
awk -F'\t' '/<Builtins_CallApiCallbackGeneric>:/ { n = 10; next } n-- > 0 { print "        " $2 }' "$tmp/code"
echo "expected: none"
callbacks=$(grep -c ' Builtins_CallApiCallback' "$tmp/builtins")
if [ "$callbacks" = 0 ] || [ "$(grep -c '^Builtins_CallApiCallback' "$tmp/poppers")" != "$callbacks" ]; then
	echo "CHANGED: not all of Builtins_CallApiCallback* pop their return address"
	exit 1
fi
echo "seen: $(wc -l <"$tmp/poppers") of $(wc -l <"$tmp/builtins") builtins do, among them all $callbacks of CallApiCallback*"
