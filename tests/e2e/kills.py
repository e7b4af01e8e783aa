#!/usr/bin/python3
"""make test-kill: dhatd is killed again and again, and each time its target must be as it was.

tests/e2e/kills.py [-O DIR] [--kills N] [--link KIND] [--seed N] [WAY...]
WAY: what is done to dhatd, see WAYS. Each kill is at a random moment. Judged are the target's code
(memory against file) and what a malloc+free pair costs it, measured by itself; never the kernel's log.
"""
import argparse
import contextlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from oracle import code_addresses, code_differences

ROOT = Path(__file__).resolve().parent.parent.parent
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
LINKS = ("session", "multi", "perf")
DEADLINE = 120
# A breakpoint costs 500 ns at the least, a pair without one 5 to 20: what is between is a busy machine.
SLOW_NS = 400
# A breakpoint is left when for so many seconds none goes. The kernel lets go of perf links one after the other, all
# processes' in one queue, each in 0.1 s and more.
PATIENCE = 30
COPIES = 6  # of its C library, with which a target has one offset of a file at many places
# an emptied bounding set: root without the right to mount
UNPRIVILEGED = ("/usr/bin/setpriv", "--bounding-set", "-sys_admin")


class Pairs:
    """The target: it measures what its pairs cost.

    It has a C library of its own: whoever attaches to the same file anywhere, and lets go in peace,
    takes out what others left."""

    def __init__(self, build, directory, copies=0):
        shutil.copy(LIBC, directory)
        argv = ["/usr/bin/env", f"LIBC_COPIES={copies}", build / "tests/targets/pairs", "5"]
        self.proc = self.start(argv, directory)
        self.pid = self.proc.pid
        assert self.proc.stdout.readline() == "ready\n"

    @staticmethod
    def start(argv, directory, **options):
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                env=os.environ | {"LD_LIBRARY_PATH": str(directory)}, **options)

    def cost_ns(self):
        """The least of some short runs: another process's turn is no cost of ours."""
        costs = []
        for _ in range(50):
            self.proc.stdin.write("run 2\n")
            self.proc.stdin.flush()
            costs.append(float(self.proc.stdout.readline().split()[1]))
            if costs[-1] < SLOW_NS:
                break
        return min(costs)

    def close(self):
        self.proc.kill()
        self.proc.communicate()


class Run(Pairs):
    """The target, started by `dhatd run`; it outlives that."""

    def __init__(self, argv, program, directory):
        self.program = program.resolve()
        with open(directory / "dhatd.err", "wb") as err:
            self.proc = self.start([*argv, "--", program, "5"], directory, stderr=err, start_new_session=True)
        self.pid = None

    def find(self):
        """Its pid, once it is the program that it shall be."""
        with contextlib.suppress(OSError):
            for pid in Path(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children").read_text().split():
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{pid}/exe").resolve() == self.program:
                        self.pid = int(pid)

    def lives(self):
        """Without dhatd it begins, or goes on."""
        return bool(select.select([self.proc.stdout], [], [], DEADLINE)[0]) and self.proc.stdout.readline() == "ready\n"

    def close(self):
        self.proc.stdin.close()  # it ends by that
        self.proc.stdout.read()
        self.proc.stdout.close()


class Watch:
    """Whether the target's memory is at some places as it was."""

    def __init__(self, pid, addresses):
        self.addresses = addresses
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            self.memory = os.dup(memory.fileno())
        self.before = self.read()

    def read(self):
        return [os.pread(self.memory, 1, address) for address in self.addresses]

    def until_first_change(self, dhatd):
        """Without a pause: the others follow within microseconds."""
        while self.read() == self.before and dhatd.poll() is None:
            pass

    def close(self):
        os.close(self.memory)


class Kills:
    """Kills and counts. A target is kept until something is left in it."""

    def __init__(self, build, directory, seed=1, command=(), copies=0):
        self.build, self.directory, self.command, self.copies = Path(build), Path(directory), command, copies
        self.socket = self.directory / "dhatd.sock"
        self.chance = random.Random(seed)
        self.target = Pairs(self.build, self.directory, self.copies)
        self.attach_seconds = 0.3
        self.addresses = {}  # of the probes, by kind of link
        self.tries = self.left = self.slow = 0
        self.worst_ns = self.latest_s = 0.0
        self.places = []  # of what was left

    def attach(self, link, wait=True):
        """dhatd in a session, and so a process group, of its own; returns when it has attached."""
        began, log = time.monotonic(), self.directory / "dhatd.err"
        argv = [*self.command, self.build / "dhatd", "attach", "--pid", str(self.target.pid), "--no-inventory",
                "--socket", self.socket, "--link", link]
        with open(log, "wb") as err:
            dhatd = subprocess.Popen(argv, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                     start_new_session=True)
        while wait and b"answering" not in log.read_bytes():
            assert dhatd.poll() is None and time.monotonic() < began + DEADLINE, log.read_text()
            time.sleep(0.002)
        if wait:
            self.attach_seconds += (time.monotonic() - began - self.attach_seconds) / 8
        return dhatd

    def are_pinned(self, link):
        """What dhatd says of how it holds its links."""
        dhatd = self.attach(link)
        answer = subprocess.run([self.build / "dhatctl", "status", "--json", "--socket", self.socket],
                                capture_output=True, check=True, timeout=DEADLINE)
        dhatd.terminate()
        dhatd.wait(DEADLINE)
        return json.loads(answer.stdout)["targets"][0].get("links_are_pinned", False)

    def probed(self, link):
        """Where probes come to be: seen once, by an attach of its own."""
        if link not in self.addresses:
            dhatd = self.attach(link)
            self.addresses[link] = code_addresses(self.target.pid)
            assert self.addresses[link]
            dhatd.terminate()
            dhatd.wait(DEADLINE)
        return self.addresses[link]

    def pause(self):
        """The kernel's part of a detach begins milliseconds after the signal, and may last a while."""
        time.sleep(self.chance.choice((self.chance.uniform(0, 0.006), self.chance.uniform(0, 0.1))))

    # ---- ways: attach, and kill ----

    def after_sigterm(self, link):
        dhatd = self.attach(link)
        dhatd.terminate()
        self.pause()
        dhatd.kill()
        return dhatd

    def after_sigint(self, link):
        dhatd = self.attach(link)
        dhatd.send_signal(signal.SIGINT)
        self.pause()
        dhatd.kill()
        return dhatd

    def after_request(self, link):
        """dhatctl asks for the detach: another thread's work."""
        dhatd = self.attach(link)
        with subprocess.Popen([self.build / "dhatctl", "detach", "--socket", self.socket],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            self.pause()
            dhatd.kill()
        return dhatd

    def alone(self, link):
        dhatd = self.attach(link)
        dhatd.kill()
        return dhatd

    def group(self, link):
        """All of its process group: what timeout(1) and a terminal do."""
        dhatd = self.attach(link)
        os.killpg(dhatd.pid, signal.SIGTERM)
        self.pause()
        os.killpg(dhatd.pid, signal.SIGKILL)
        return dhatd

    def letting_go(self, link):
        """When the first breakpoint is taken out."""
        addresses, dhatd = self.probed(link), self.attach(link)
        with contextlib.closing(Watch(self.target.pid, addresses)) as watch:
            dhatd.terminate()
            watch.until_first_change(dhatd)
            if self.chance.random() < 0.5:
                time.sleep(self.chance.uniform(0, 0.0005))
            dhatd.kill()
        return dhatd

    def attaching(self, link):
        dhatd = self.attach(link, wait=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            dhatd.wait(self.chance.uniform(0, 1.1 * self.attach_seconds))
        dhatd.kill()
        return dhatd

    def placing(self, link):
        """When the first breakpoint is set."""
        addresses = self.probed(link)
        with contextlib.closing(Watch(self.target.pid, addresses)) as watch:
            dhatd = self.attach(link, wait=False)
            watch.until_first_change(dhatd)
            dhatd.kill()
        return dhatd

    def running(self, link):
        """`dhatd run`: while its program starts, or soon after."""
        argv = [*self.command, self.build / "dhatd", "run", "--socket", self.socket, "--link", link]
        target, seconds = Run(argv, self.build / "tests/targets/pairs", self.directory), self.chance.uniform(0, 1.2)
        end = time.monotonic() + seconds * self.attach_seconds
        while time.monotonic() < end or not (target.pid or target.proc.poll() is not None):
            target.find()
        target.proc.kill()
        target.proc.wait(DEADLINE)
        assert target.pid and target.lives(), "the program died with dhatd"
        self.judge(target)
        target.close()

    # ---- the judge ----

    def once(self, way, link):
        dhatd = WAYS[way](self, link)
        self.tries += 1
        if dhatd:
            assert dhatd.wait(DEADLINE) in (0, -signal.SIGKILL)
            if not self.judge(self.target):
                self.close()
                self.addresses = {}
                self.target = Pairs(self.build, self.directory, self.copies)

    def judge(self, target):
        """Is it as it was?"""
        began, least = time.monotonic(), None
        end = began + PATIENCE
        while (differences := code_differences(target.pid)) and time.monotonic() < end:
            if least is None or sum(map(len, differences.values())) < least:
                end, least = time.monotonic() + PATIENCE, sum(map(len, differences.values()))
            time.sleep(0.005)
        if not differences:
            self.latest_s = max(self.latest_s, time.monotonic() - began)
        cost_ns = target.cost_ns()
        self.worst_ns = max(self.worst_ns, cost_ns)
        self.slow += cost_ns >= SLOW_NS
        self.left += bool(differences)
        if differences:
            self.places.append(differences)
        return not differences and cost_ns < SLOW_NS

    def close(self):
        self.target.close()

    def figures(self):
        return (f"{self.tries} kills, {self.left} left breakpoints, {self.slow} left pairs slow; "
                f"at most {self.worst_ns:.1f} ns a pair, {self.latest_s:.1f} s until the last was gone")


WAYS = {
    "SIGTERM, SIGKILL": Kills.after_sigterm,
    "SIGINT, SIGKILL": Kills.after_sigint,
    "dhatctl detach, SIGKILL": Kills.after_request,
    "SIGKILL": Kills.alone,
    "group": Kills.group,
    "letting go": Kills.letting_go,
    "attaching": Kills.attaching,
    "placing": Kills.placing,
    "running": Kills.running,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("-O", dest="build", default="build")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--link", choices=LINKS, action="append")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("ways", nargs="*", metavar="WAY", help=", ".join(WAYS))
    args = parser.parse_args()
    build, began, bad, tries = (ROOT / args.build).resolve(), time.monotonic(), 0, 0
    # without the right to mount there are no perf links either
    runs = [(command, way, link, copies) for command in ((), UNPRIVILEGED) for way in args.ways or WAYS
            for link in args.link or LINKS if not command or link != "perf"
            for copies in (0, COPIES) if not copies or way == "placing"]
    print(f"seed {args.seed}", flush=True)
    for i, (command, way, link, copies) in enumerate(runs):
        with tempfile.TemporaryDirectory() as directory:
            kills = Kills(build, directory, args.seed + i, command, copies)
            for _ in range(args.kills * (i + 1) // len(runs) - args.kills * i // len(runs)):
                kills.once(way, link)
            kills.close()
        name = f"{way}, {link}" + (", many places" if copies else "") + (", no CAP_SYS_ADMIN" if command else "")
        print(f"{name:<50} {kills.figures()}", flush=True)
        for differences in kills.places[:3]:
            print(f"    {differences}", flush=True)
        bad += kills.left + kills.slow
        tries += kills.tries
    print(f"{tries} kills in {time.monotonic() - began:.0f} s, {bad} bad")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
