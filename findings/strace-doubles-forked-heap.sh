#!/bin/bash
# Reading a forked child's memory with process_vm_readv costs the machine that memory; strace does it.
#
# Packages: strace 6.1-0.1, libunwind8 1.6.2-3 (Debian 12); the kernel is the one at hand (seen on 6.18)
# Input:    a process fills 64 MiB and forks; the child never writes to them: both share the pages, and the child's
#           Pss is half of them. It is read once through /proc/PID/mem; then the child calls write(/dev/null, all of
#           it) under `strace -s 67108864`, which reads what is written by process_vm_readv.
# Expected: reading changes nothing, and the one way of reading is as good as the other.
# Seen:     /proc/PID/mem leaves the sharing as it is. process_vm_readv pins pages, and a shared anonymous page is
#           copied before it may be pinned: the child has 64 MiB of its own then, until it ends.
# So:       a profiler that looks at a forked server's heap reads /proc/PID/mem.
set -u

tmp=$(mktemp -d) || exit 2
strace_pid=''
trap '[ -z "$strace_pid" ] || kill $strace_pid; rm -rf "$tmp"' EXIT # the target ends with its standard input
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download strace=6.1-0.1 libunwind8=1.6.2-3 >/dev/null 2>&1 ||
	untried "apt-get cannot fetch strace 6.1-0.1 and libunwind8 1.6.2-3 (Debian 12)"
for deb in *.deb; do
	dpkg -x "$deb" root || untried "$deb cannot be unpacked"
done

cat >target.py <<'PYTHON'
import ctypes, mmap, os, sys
SIZE = 64 << 20
heap = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(0, SIZE, 4096):
    heap[page] = 120
child = os.fork()
if child:
    os.waitpid(child, 0)
    sys.exit()
null = os.open("/dev/null", os.O_WRONLY)
print(os.getpid(), ctypes.addressof(ctypes.c_char.from_buffer(heap)), flush=True)
sys.stdin.readline()
os.write(null, heap)
print("written", flush=True)
sys.stdin.readline()
PYTHON
coproc TARGET { exec python3 target.py; }
read -r pid address <&"${TARGET[0]}" || untried "this needs python3"
pss_kib() { sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$pid/smaps_rollup"; }

before=$(pss_kib)
[ $((address % 4096)) = 0 ] || untried "the block does not begin at a page"
bytes=$(dd if="/proc/$pid/mem" bs=4096 skip=$((address / 4096)) count=$(((64 << 20) / 4096)) 2>/dev/null | wc -c)
[ "$bytes" = $((64 << 20)) ] || untried "/proc/$pid/mem cannot be read: run this as root"
after_mem=$(pss_kib)

LD_LIBRARY_PATH=$tmp/root/usr/lib/x86_64-linux-gnu root/usr/bin/strace -p "$pid" -e trace=write \
	-s $((64 << 20)) -o trace 2>strace.log &
strace_pid=$!
until grep -q attached strace.log; do
	kill -0 $strace_pid 2>/dev/null || untried "strace cannot attach: $(head -1 strace.log)"
	sleep 0.1
done
echo >&"${TARGET[1]}"
read -r _ <&"${TARGET[0]}"
after_strace=$(pss_kib)
[ "$(stat -c %s trace)" -gt $((64 << 20)) ] || untried "strace did not read the whole block"

echo "kernel $(uname -r), strace 6.1: Pss of a forked child that shares 64 MiB with its parent"
echo "    at first $before KiB, read by /proc/PID/mem $after_mem KiB, read by strace $after_strace KiB"
echo "expected: the same three times"
if [ $((after_mem - before)) -gt 4096 ] || [ $((after_strace - after_mem)) -lt $((24 << 10)) ]; then
	echo "CHANGED: on this kernel it is not so that process_vm_readv unshares pages and /proc/PID/mem does not"
	exit 1
fi
echo "seen: process_vm_readv made a copy of what it read ($(((after_strace - after_mem) >> 10)) MiB more Pss), /proc/PID/mem did not"
