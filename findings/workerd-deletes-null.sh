#!/bin/bash
# In workerd hardly any allocation passes malloc, and every other `operator delete` that runs is given a null pointer.
#
# Package:  @cloudflare/workerd-linux-64 1.20261117.1 (npm): C++ with Google's tcmalloc, symbols included
# Input:    `workerd compile` of a configuration with one worker, under gdb, which counts calls and reads their argument.
# Expected: operator new is written over malloc, as in libstdc++ and libc++, so that malloc's calls are all there are;
#           and compilers test for null before they call operator delete, as gcc and clang do at -O2: what is called is
#           given a block.
# Seen:     malloc was called 564 times, operator new, which has its own code, 13,747 times. free got no null at all, but
#           12,250 of 24,604 calls of operator delete(void *) did: more calls of delete and free than allocations.
# So:       a tracer at malloc alone sees a twentieth of the blocks. And a count of deletes is no count of freed
#           blocks: see to it that null goes before anything is looked up, or half the work is for nothing.
set -u

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

command -v gdb >/dev/null || untried "this needs gdb"
npm pack --silent --pack-destination "$tmp" @cloudflare/workerd-linux-64@1.20261117.1 >/dev/null 2>&1 ||
	untried "npm cannot fetch @cloudflare/workerd-linux-64 1.20261117.1"
tar -xzf "$tmp"/*.tgz -C "$tmp" package/bin/workerd || untried "the package cannot be unpacked"

cat >"$tmp/config.capnp" <<'CAPNP'
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (compatibilityDate = "2024-01-01",
    serviceWorkerScript = "addEventListener('fetch', e => e.respondWith(new Response('hello')));"))],
  sockets = [(name = "http", address = "127.0.0.1:8080", http = (), service = "main")]);
CAPNP
cat >"$tmp/count.py" <<'PYTHON'
class Count(gdb.Breakpoint):
    def stop(self):
        self.calls = getattr(self, "calls", 0) + 1
        self.nulls = getattr(self, "nulls", 0) + (int(gdb.selected_frame().read_register("rdi")) == 0)
        return False
names = ["malloc", "_Znwm", "free", "_ZdlPv", "_ZdlPvm"]
counts = [Count("*" + name) for name in names]
gdb.execute("run", to_string=True)
print("COUNTS", *(f"{getattr(c, 'calls', 0)} {getattr(c, 'nulls', 0)}" for c in counts))
PYTHON
cd "$tmp" || exit 2
read -r _ malloc _ new _ free free_null delete delete_null sized sized_null < <(gdb -nx -batch -iex 'set auto-load off' \
	-iex 'set debuginfod enabled off' -ex 'set args compile config.capnp >/dev/null' -x count.py package/bin/workerd \
	2>log | grep ^COUNTS)
[ -n "${sized_null-}" ] && [ "$new" -gt 0 ] || untried "gdb cannot run workerd here: $(tail -1 log)"

echo "workerd 1.20261117.1, workerd compile; calls (with a null pointer):"
echo "    malloc $malloc, operator new $new"
echo "    free $free ($free_null), operator delete(void *) $delete ($delete_null), operator delete(void *, size) $sized ($sized_null)"
echo "expected: as many calls of malloc as of operator new, or more; hardly a null"
if [ $((malloc * 10)) -gt "$new" ]; then
	echo "CHANGED: operator new passes malloc, or little of it is used"
	exit 1
fi
if [ $((delete_null * 3)) -lt "$delete" ]; then
	echo "CHANGED: most calls of operator delete are given a block"
	exit 1
fi
echo "seen: operator new does not pass malloc; $((delete_null * 100 / delete)) % of operator delete(void *)'s calls have null"
