#!/bin/bash
# A process with some uprobe loses a debugger's breakpoint at an instruction where only another process has one.
#
# Package:  gdb-minimal 13.1-3 and what it needs (Debian 12): only unpacked; it needs gcc, nm and root; the kernel is the one at
#           hand (seen: 6.18)
# Input:    two processes of one program, which call step() again and again. In the one a uprobe is at step(), opened by
#           perf_event_open() for that process alone; it counts. In the other gdb has a breakpoint there. Then the same once
#           more while a further uprobe is at other(), of all processes of that program; nobody calls that.
# Expected: gdb stops at each call, all three times: at step() the process that it debugs has no uprobe.
# Seen:     with the uprobe at step() alone it does. With that at other() too gdb never stops, and the process runs to its end:
#           whether a trap is a uprobe's is asked of the file, not of the process, if that has any uprobe at all. The trap
#           does not reach the debugger, and since nobody probes step() here, the kernel writes the original byte back over
#           gdb's. gdb goes on listing the breakpoint, without a hit. The count is the probed process's alone.
# So:       in a process that is watched by uprobes a software breakpoint on malloc() cannot be relied on, even where
#           that process is not probed at malloc() itself but another one is.
set -u

tmp=$(mktemp -d) || exit 2
pids=
trap '[ -z "$pids" ] || kill $pids 2>/dev/null; rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
mkdir -p archives/partial
: >status
apt-get -qq -y --no-install-recommends --download-only -o Dir::State::status="$tmp/status" -o Dir::Cache="$tmp" \
	-o Debug::NoLocking=true -o APT::Sandbox::User=root install gdb-minimal=13.1-3 >/dev/null 2>&1 ||
	untried "apt-get cannot fetch gdb-minimal 13.1-3 (Debian 12)"
for deb in archives/*.deb; do dpkg -x "$deb" root || untried "$deb cannot be unpacked"; done
lib=root/lib/x86_64-linux-gnu

cat >program.c <<'C'
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
static volatile long steps;
__attribute__((noinline)) void step(void)
{
	steps++;
}
__attribute__((noinline)) void other(void)
{
	steps--;
}
/* program STEPS MICROSECONDS: so many steps, so far apart
 * program probe PID OFFSET: counts the calls of that place for each line that it reads; PID -1: of all on the first CPU */
int main(int argc, char **argv)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .config1 = (unsigned long)argv[0] };
	unsigned long long count;
	long i, fd;

	if (argc > 4)
		other();
	if (argc == 3) {
		for (i = 0; i < atol(argv[1]); i++, usleep(atoi(argv[2])))
			step();
		return 0;
	}
	FILE *type = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	if (!type || fscanf(type, "%u", &attr.type) != 1)
		return 1;
	attr.config2 = strtoul(argv[3], NULL, 0);
	fd = syscall(SYS_perf_event_open, &attr, atoi(argv[2]), atoi(argv[2]) < 0 ? 0 : -1, -1, 0);
	setbuf(stdout, NULL);
	while (fd >= 0 && getchar() != EOF && read((int)fd, &count, 8) == 8)
		printf("%llu\n", count);
	return 1;
}
C
gcc -O1 -no-pie program.c -o program 2>/dev/null || untried "this needs gcc"
place() { nm program | awk -v "name=$1" '$3 == name { print "0x" $1 }'; }
debug() { # how often gdb's breakpoint is hit in 100 steps; nothing: never
	timeout 60 "$lib/ld-linux-x86-64.so.2" --library-path "$lib:root/usr/lib/x86_64-linux-gnu" root/usr/bin/gdb -nx -batch \
		-ex "break *$(place step)" -ex 'set breakpoint pending off' -ex 'ignore 1 1000' -ex 'run 100 0' -ex 'info breakpoints' \
		program 2>&1 | sed -n 's/.*already hit \([0-9]*\) time.*/\1/p'
}

probe() { exec "$tmp/program" probe "$1" $(($(place "$2") - 0x400000)); }
count() { echo >&"${STEP[1]}" && read -r number <&"${STEP[0]}"; }

"$tmp/program" 1000000 10000 &
probed=$!
pids=$probed
coproc STEP { probe $probed step; }
pids+=" $STEP_PID"
count || untried "no uprobe can be opened: run this as root"
sleep 1
alone=$(debug)
count
[ "$number" -gt 10 ] || untried "the uprobe does not count"
exec {other}> >(probe -1 other >others)
echo >&"$other"
until [ -s others ]; do sleep 0.1; done
both=$(debug)
exec {other}>&-
until [ "$(debug)" = 100 ] || [ $((tries = ${tries:-0} + 1)) = 5 ]; do sleep 1; done
after=$(debug)

echo "gdb 13.1, kernel $(uname -r): of 100 calls of step() its breakpoint was hit"
echo "    ${alone:-0} times while another process had a uprobe at step() ($number calls counted there),"
echo "    ${both:-0} times while there was one at other(), too, and ${after:-0} when that had gone"
echo "expected: 100 each time"
if [ "$alone" != 100 ] || [ "$after" != 100 ] || [ -n "$both" ]; then
	echo "CHANGED: it is not so that a uprobe of another process takes the breakpoint away in one that has some uprobe"
	exit 1
fi
echo "seen: it was never hit while the process had a uprobe elsewhere, and another one had one there"
