#!/bin/bash
# ps and pmap say of a process that runs, and has 64 MiB, that it has no memory, once its main thread has ended.
#
# Packages: procps 2:4.0.2-3, elfutils 0.188-2.1 (Debian 12; the libraries they need have to be installed); the kernel is
#           the one at hand (seen: 6.18)
# Input:    a program that touches 64 MiB, starts a thread that works on, and leaves main() by pthread_exit(3).
# Expected: 64 MiB resident, the program's mappings, and the stack of the thread: the process is alive.
# Seen:     ps: state Zl and 0 KiB; pmap: "<defunct>", "total 0K", exit status 0; eu-stack -p: "No such process". Files of
#           /proc/PID are those of the main thread, and that has no memory any more: maps is empty without an error,
#           exe and smaps_rollup end with ENOENT and ESRCH. /proc/PID/task/TID of a thread that lives has all of them.
# So:       a zombie by its state, and an empty maps, are no proof that a process has ended: count its threads. Who reads
#           /proc/PID of a program that he did not write takes a thread that lives.
set -u

tmp=$(mktemp -d) || exit 2
program=
trap '[ -z "$program" ] || kill "$program" 2>/dev/null; rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download procps=2:4.0.2-3 elfutils=0.188-2.1 >/dev/null 2>&1 ||
	untried "apt-get cannot fetch procps 2:4.0.2-3 and elfutils 0.188-2.1 (Debian 12)"
for package in *.deb; do dpkg -x "$package" root || untried "$package cannot be unpacked"; done

cat >program.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void *work(void *memory)
{
	for (volatile char *at = memory;; usleep(1000))
		(*at)++;
	return memory;
}
int main(void)
{
	pthread_t thread;
	char *memory = malloc(64 << 20);
	memset(memory, 1, 64 << 20);
	alarm(120);
	if (pthread_create(&thread, NULL, work, memory))
		return 1;
	puts("ready");
	fflush(stdout);
	pthread_exit(NULL);
}
C
gcc -O1 -pthread program.c -o program || untried "this needs gcc"
mkfifo ready || exit 2
./program >ready &
program=$!
read -r _ <ready
for _ in $(seq 100); do
	grep -q '^State:.*zombie' "/proc/$program/status" && break
	sleep 0.05
done

for task in "/proc/$program/task"/*; do thread=$task; done
shown=$(root/bin/ps -o stat=,rss= -p "$program" | xargs)
total=$(root/usr/bin/pmap "$program" | tail -1 | xargs)
stack=$(root/usr/bin/eu-stack -p "$program" 2>&1 | head -1 | sed 's/.*: //')
of_thread=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "$thread/status")
echo "procps 4.0.2, elfutils 0.188, kernel $(uname -r), a process with 64 MiB whose main thread has ended:"
echo "    ps: $shown KiB; pmap: $total; eu-stack: $stack; VmRSS of its other thread: $of_thread kB"
echo "expected: 64 MiB, of each"
[ "${of_thread:-0}" -ge 65536 ] || untried "the other thread has no 64 MiB"
if [ "$shown" != "Zl 0" ] || [ "$total" != "total 0K" ] || [ "$stack" != "No such process" ]; then
	echo "CHANGED: it is seen"
	exit 1
fi
echo "seen: nothing of it"
