#!/bin/bash
# CRIU refuses a process that was ever probed, long after the tracer has left; --allow-uprobes takes it, and it can be restored.
#
# Package:  criu 4.2.1-1 and what it needs, from Debian sid: only unpacked; bpftrace (seen: 0.17.0) as the tracer, which has
#           to be installed. It needs root. (3.17 of Debian 12 does not run on Linux 6.18.)
# Input:    a program that calls step() a hundred times a second; bpftrace counts the calls for a second, and ends in peace.
# Expected: who has let go of his uprobes leaves nothing behind: the code is as before.
# Seen:     the code is; but the kernel's page for probes, [uprobes] in /proc/PID/maps, stays as long as the process. criu dump
#           says "has uprobes vma. Consider using --allow-uprobes", and the process goes on. With that option it is dumped, and
#           with it again (else "Need to set it on restore as well") restored, and goes on.
# So:       to be checkpointed after a profile a process needs that option; while probes are in place it must not be used,
#           for the breakpoints would be in the image, and nobody behind them.
set -u

tmp=$(mktemp -d) || exit 2
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
command -v bpftrace >/dev/null || untried "this needs bpftrace"
mkdir lists archives images
: >status
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 2>/dev/null | grep -v security | head -1)
[ -n "$mirror" ] || untried "this needs Debian's apt, and its lists (apt-get update)"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >sources.list
cat >apt.conf <<CONF
Dir::Etc::sourcelist "$tmp/sources.list"; Dir::Etc::sourceparts "/dev/null"; Dir::State::lists "$tmp/lists";
Dir::State::status "$tmp/status"; Dir::Cache "$tmp"; APT::Architecture "amd64"; APT::Sandbox::User "root";
Debug::NoLocking "true";
CONF
export APT_CONFIG=$tmp/apt.conf
apt-get update >/dev/null 2>&1
apt-get -qq -y --no-install-recommends --download-only install criu=4.2.1-1 >/dev/null 2>&1 ||
	untried "apt-get cannot fetch criu 4.2.1-1 (Debian sid)"
for deb in archives/*.deb; do dpkg -x "$deb" root || untried "$deb cannot be unpacked"; done
unset APT_CONFIG
lib=root/usr/lib/x86_64-linux-gnu
criu() { "$lib/ld-linux-x86-64.so.2" --library-path "$lib" root/usr/sbin/criu "$@"; }

cat >program.c <<'C'
#include <unistd.h>
__attribute__((noinline)) int step(int x) { __asm__ volatile(""); return x + 1; }
int main(void)
{
	for (int sum = 0;; sum = step(sum))
		usleep(10000);
}
C
gcc -O1 -static program.c -o program || untried "this needs gcc"
setsid "$tmp/program" </dev/null >/dev/null 2>&1 &
pid=$!
before=$(grep -c '\[uprobes\]' "/proc/$pid/maps")
timeout 60 bpftrace -p "$pid" -e "uprobe:$tmp/program:step { @n = count(); } interval:s:1 { exit(); }" >trace.log 2>&1
grep -q '^@n: [1-9]' trace.log || untried "bpftrace does not run here: $(tail -1 trace.log)"
after=$(grep -c '\[uprobes\]' "/proc/$pid/maps")
criu dump -t "$pid" -D images -o dump.log 2>/dev/null
refused=$?
said=$(grep -o 'has uprobes vma.*allow-uprobes' images/dump.log)
criu dump -t "$pid" -D images -o dump.log --allow-uprobes 2>/dev/null
dumped=$?
wait "$pid" 2>/dev/null
criu restore -D images -o restore.log --allow-uprobes --restore-detached --pidfile "$tmp/restored" 2>/dev/null
restored=$?
sleep 1
state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$(cat restored 2>/dev/null || echo none)/status" 2>/dev/null)

echo "criu 4.2.1, kernel $(uname -r):"
echo "    [uprobes] in its maps: $before before, $after after bpftrace has left; dump: status $refused, \"$said\";"
echo "    dump --allow-uprobes: $dumped, restore --allow-uprobes: $restored, a second later its state is ${state:-none: it is gone}"
echo "expected: 0 after, and a dump with status 0"
if [ "$before $after $dumped $restored" != "0 1 0 0" ] || [ "$refused" = 0 ] || [ -z "$said" ] || [ "$state" != S ]; then
	echo "CHANGED (or criu fails here for another reason: $(grep -h Error images/*.log | tail -1))"
	exit 1
fi
echo "seen: the page stays, and criu wants the option"
