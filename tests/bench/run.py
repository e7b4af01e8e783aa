#!/usr/bin/python3
"""make bench: what watching a malloc+free pair costs, side by side, in one run, on the same target.

tests/bench/run.py [-O DIR] [--rounds N] [--ms N] [--seconds N] [--json FILE] [--svg FILE] [--check FILE] [PART...]
pairs   one depth: unprobed, the floor (our probes, empty programs), dhatd, and other tools
frames  5 to 80 frames: dhatd, bpf_get_stack in our probes, heaptrack's unwinding in process
shapes  1 to 8 threads; frees by another thread; 10^3 to 10^7 live blocks; 10^2 to 10^5 stacks; realloc churn
kinds   the pair with each allocator, beside its own floor, and beside the profilers of jemalloc and tcmalloc
services  redis, nginx, sqlite3, a Tokio service: requests a second, p50 and p99, without and with dhatd, in turns
price   what `status` says that watching costs, beside the CPU time that it does cost: pairs, stacks, redis, nginx, sqlite3
collector  what an event and a live block cost dhatd
attach  how long until the first whole stack of a busy process
drops   as many events as two threads can make, for --seconds: events lost, and dhatd's CPU time
looks   what each look of `dhatctl top` at a process with 10,000 stacks costs dhatd
scale   100,000 stacks and 10,000,000 live blocks: a snapshot, a report, pins, a difference of two; dhatd's memory
holds   who holds 100,000 blocks of 10 KiB, a million of 1 KiB, ten millions of 96 bytes, and the same when all are lost: a scan's time, by GiB and by block; redis' p99 meanwhile;
        memory of dhatd and of its confined reader at most; resident memory of the process before and after
files   (if named) profiles of 50,000 and 100,000 stacks: CPU time and size of each format, of a difference, and
        until a browser has drawn the report (make deps-test)

Figures are medians over rounds; within a round every tool has its turn on the same process, so that a
busy moment of the machine does not fall on one of them alone. A ratio means more than a figure.
--check compares the ratios of what was run with those of a baseline: make bench-check.
"""
import argparse
import contextlib
import functools
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import price
import report
import services
import shapes
from target import Pairs, Target, copy_libc

ROOT = Path(__file__).resolve().parent.parent.parent
BPFTRACE = """
uprobe:LIBC:malloc { @size[tid] = arg0; }
uretprobe:LIBC:malloc /@size[tid]/ {
    @bytes[ustack(127)] = sum(@size[tid]); @live[retval] = @size[tid]; delete(@size[tid]); }
uprobe:LIBC:free { delete(@live[arg0]); }
"""
DEADLINE = 60


def say(*words):
    print(*words, flush=True)


def resident(pid):
    """Bytes; 0: it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return 0


def proportional(pid):
    """The same, with its share of what others have in memory, too; 0: it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1]) * 1024
    except (OSError, TypeError):
        return 0


def readers(pid):
    """Its workers: not what is just being started, which has its memory still."""
    def is_worker(child):
        try:
            return Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"dhatd-worker")
        except OSError:
            return False
    return [child for child in children(pid) if is_worker(child)]


def children(pid):
    return [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def wait_for(path, pattern, proc, what):
    end = time.monotonic() + DEADLINE
    while True:
        text = Path(path).read_text(errors="replace")
        if re.search(pattern, text):
            return text
        if proc.poll() is not None or time.monotonic() > end:
            sys.exit(f"bench: {what} did not attach:\n{text}")
        time.sleep(0.02)


class Bench:
    def __init__(self, args, tmp):
        self.args, self.tmp, self.build = args, tmp, (ROOT / args.build).resolve()
        self.socket = tmp / "socket"
        self.rows = []
        Target.starter = copy_libc(tmp)

    def note(self, part, case, values, unit="ns", base=None):
        """Figures of one case by tool, for the picture and the baseline. base: the tool that ratios are to."""
        self.rows += report.rows(part, case, values, unit, base)

    @contextlib.contextmanager
    def nothing(self, target):
        yield {}

    @contextlib.contextmanager
    def floor(self, target, what="empty"):
        proc = subprocess.Popen([self.build / "tests/bench/floor", str(target.pid), self.args.link, what,
                                 getattr(target, "library", "/libc.so.6")],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                stderr=subprocess.DEVNULL)
        if proc.stdout.readline() != "attached\n":
            sys.exit("bench: floor did not attach")
        about = {}
        yield about
        about["said"] = proc.communicate(timeout=DEADLINE)[0].strip()

    def stack(self, target):
        return self.floor(target, "stack")

    @contextlib.contextmanager
    def dhatd(self, target, *options, stacks="tables"):
        log = self.tmp / "dhatd.log"
        with open(log, "w") as out:
            proc = subprocess.Popen([self.build / "dhatd", "attach", "--socket", self.socket, "--pid",
                                     str(target.pid), *options], stderr=out, stdin=subprocess.DEVNULL,
                                    env=os.environ | {"DHATD_BENCH_STACKS": stacks})
        try:
            wait_for(log, "attached", proc, "dhatd")
            while self.status()["targets"][0]["tables_pending"]:
                time.sleep(0.01)
            about = {}
            yield about
            about.update(self.status())
        finally:
            proc.terminate()
            proc.wait(DEADLINE)

    def at_return(self, target, stacks="tables"):
        return self.dhatd(target, "--sites=entry", stacks=stacks)

    def sampled(self, target):
        return self.dhatd(target, "--sample=512KiB")

    def status(self):
        out = subprocess.run([self.build / "dhatctl", "status", "--socket", self.socket, "--json"],
                             capture_output=True, text=True, check=True, timeout=DEADLINE).stdout
        return json.loads(out)

    @contextlib.contextmanager
    def bpftrace(self, target):
        maps = Path(f"/proc/{target.pid}/maps").read_text()
        libc = re.search(r"/\S*/libc\.so\.6", maps)[0]
        log = self.tmp / "bpftrace.log"
        with open(log, "w") as out:
            # its maps are too small for every block by default
            proc = subprocess.Popen(["bpftrace", "-p", str(target.pid), "-e",
                                     'BEGIN { printf("attached\\n"); }' + BPFTRACE.replace("LIBC", libc)],
                                    stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                    env=os.environ | {"BPFTRACE_MAP_KEYS_MAX": "100000"})
        try:
            wait_for(log, "attached", proc, "bpftrace")
            end = time.monotonic() + DEADLINE
            while target.measure(10)[1] < 500:  # BEGIN comes before the probes; no trap is that cheap
                if time.monotonic() > end:
                    sys.exit("bench: bpftrace has no effect")
            yield {}
        finally:
            proc.send_signal(2)
            proc.wait(5 * DEADLINE)  # killed, it would leave its breakpoints

    def under(self, *command):
        """A tool that has to start its target."""
        frames = self.frames

        def measure():
            argv = [*command, str(self.build / "tests/targets/pairs"), str(frames), "1",
                    str(max(1000, self.args.ms))]  # first stacks take milliseconds
            done = subprocess.run(argv, capture_output=True, text=True, cwd=self.tmp, timeout=DEADLINE)
            pairs = re.search(r"^(\d+) ([\d.]+)$", done.stdout, re.M)
            if not pairs:
                sys.exit(f"bench: {argv[0]}: {done.stdout}{done.stderr}")
            return int(pairs[1]), float(pairs[2])
        return measure

    def heaptrack(self):
        for old in self.tmp.glob("heaptrack*"):
            old.unlink()
        return self.under("heaptrack", "-o", str(self.tmp / "heaptrack"))()

    def heaptrack_attached(self):
        """In a process of its own, which may die of it when it is let go (heaptrack's own words)."""
        target = Pairs(self.build, self.frames)
        before = target.measure(20)[1]
        with open(self.tmp / "heaptrack.log", "w") as out:
            proc = subprocess.Popen(["heaptrack", "-o", self.tmp / "heaptrack", "--pid", str(target.pid)], stdout=out,
                                    stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            end = time.monotonic() + DEADLINE
            while target.measure(20)[1] < 5 * before:
                if time.monotonic() > end:
                    sys.exit(f"bench: heaptrack --pid: {Path(self.tmp / 'heaptrack.log').read_text()}")
            return target.measure(self.args.ms)
        finally:
            target.proc.kill()
            target.proc.wait()
            proc.wait(DEADLINE)

    def valgrind(self):
        return self.under("valgrind", "--tool=dhat", f"--dhat-out-file={self.tmp}/dhat.out")()

    def massif(self):
        return self.under("valgrind", "--tool=massif", f"--massif-out-file={self.tmp}/massif.out")()

    def collector(self):
        """Events a second that one core can take, and bytes that a live block needs, all slack included."""
        out = subprocess.run([self.build / "tests/bench/heap_bench"], check=True, capture_output=True, text=True).stdout
        rows = []
        say("collector: at least 5 million events a second at 10^6 live blocks are wanted, at most 40 bytes a block at 10^7")
        for line in out.splitlines():
            fields = line.split()
            if not fields or not fields[0].isdigit():
                continue
            blocks, stacks, ns, size = int(fields[0]), int(fields[1]), float(fields[4]), float(fields[7])
            rows.append({"blocks": blocks, "stacks": stacks, "ns": ns, "bytes": size})
            self.note("collector", f"{blocks:,} blocks, {stacks:,} stacks", {"event": [ns]})
            say(f"  {blocks:>11,} live blocks of {stacks:>7,} stacks: {1e3 / ns:5.1f} million events a second; "
                f"{size:.1f} bytes a block")
        return rows

    def shapes(self):
        return shapes.run(self)

    def kinds(self):
        return shapes.run_kinds(self)

    def services(self):
        return services.run(self)

    def price(self):
        return price.run(self)

    def rounds(self, target, attached, started, rounds=None):
        """{tool: [ns, …]} and what the tools said at last. Ends the target."""
        times, abouts = {}, {}
        target.measure(self.args.ms)  # warm
        for _ in range(rounds or self.args.rounds):
            for name, tool in attached.items():
                with tool(target) as about:
                    target.measure(20)  # the first events find caches cold and stacks new
                    times.setdefault(name, []).append(target.measure(self.args.ms)[1])
                abouts[name] = about
            for name, measure in started.items():
                times.setdefault(name, []).append(measure()[1])
        target.close()
        return times, abouts

    def pairs(self):
        tools = {"unprobed": self.nothing, "floor: our probes, empty programs": self.floor,
                 "dhatd": self.dhatd, "dhatd --sample=512KiB": self.sampled,
                 "dhatd --sites=entry": self.at_return, "bpftrace malloc/free script": self.bpftrace}
        started = {"valgrind --tool=dhat": self.valgrind, "valgrind --tool=massif": self.massif,
                   "heaptrack": self.heaptrack, "heaptrack --pid": self.heaptrack_attached}
        self.frames = 10
        times, abouts = self.rounds(Pairs(self.build, 10), tools, started)
        self.note("hot pair", "10 frames", times, base="floor: our probes, empty programs")
        ns = {name: statistics.median(t) for name, t in times.items()}
        floor, script, ours = ns["floor: our probes, empty programs"], \
            ns["bpftrace malloc/free script"], ns["dhatd"]
        say(f"malloc+free pair, 10 frames, one thread, {self.args.link} links "
            f"(median of {self.args.rounds} rounds of {self.args.ms} ms)")
        for name, value in ns.items():
            say(f"  {name:<36} {value:10,.0f} ns   {value / floor:6.2f} x floor   ({min(times[name]):,.0f} to "
                f"{max(times[name]):,.0f} ns)")
        say(f"  dhatd is {ours / floor:.2f} x the floor (at most 1 is wanted) and {ours / script:.2f} x the "
            f"bpftrace script (at most 0.10)")
        return {"ns": ns, "status": abouts["dhatd"]}

    def frames_table(self):
        """dhatd by depth; and the same programs with stacks from our tables, from bpf_get_stack, and with the caller
        only: what the walk adds. Those at malloc's return: bpf_get_stack can begin nowhere else."""
        say("malloc+free pair by depth: ns of the pair; seen at entry and return, and of the walk alone (above no stacks)")
        say(f"  {'frames':>6} {'floor':>7} {'dhatd':>14} {'no stacks':>9} {'our tables':>17} {'bpf_get_stack':>17} "
            f"{'heaptrack':>10}")
        rows = {}
        for frames in (5, 10, 20, 40, 80):
            tools = {"floor": self.floor, "dhatd": self.dhatd}
            for stacks in ("none", "tables", "kernel"):
                tools[stacks] = functools.partial(self.at_return, stacks=stacks)
            self.frames = frames
            times, _ = self.rounds(Pairs(self.build, frames), tools, {"heaptrack": self.heaptrack})
            self.note("depth", f"{frames} frames", {n: times[n] for n in ("floor", "dhatd", "heaptrack")}, base="floor")
            ns = {name: statistics.median(t) for name, t in times.items()}
            rows[frames] = ns
            walk = {k: f"{ns[k]:,.0f} ({ns[k] - ns['none']:,.0f})" for k in ("tables", "kernel")}
            share = f"{ns['dhatd']:,.0f} ({ns['dhatd'] / ns['floor']:.2f}x)"
            say(f"  {frames:>6} {ns['floor']:>7,.0f} {share:>14} {ns['none']:>9,.0f} {walk['tables']:>17} "
                f"{walk['kernel']:>17} {ns['heaptrack']:>10,.0f}")
        for name, tool in (("our tables", "tables"), ("bpf_get_stack", "kernel")):
            say(f"  {name}: {(rows[80][tool] - rows[5][tool]) / 75:.1f} ns a frame from 5 to 80")
        return rows

    def attach(self):
        """From the start of dhatd to the first whole stack of a busy process."""
        def whole(counters):
            return any(c["name"] == "stop_complete" and c["value"] for c in counters)

        target = Pairs(self.build, 10)
        seconds = []
        for _ in range(self.args.rounds):
            target.begin(3000)
            begin = time.monotonic()
            with self.dhatd(target):
                while not whole(self.status()["targets"][0]["counters"]):
                    time.sleep(0.005)
                seconds.append(time.monotonic() - begin)
            target.result()
        target.close()
        say(f"attach: the first whole stack {statistics.median(seconds):.2f} s after the start of dhatd "
            f"(at most 1 is wanted; {min(seconds):.2f} to {max(seconds):.2f})")
        return {"seconds": seconds}

    def drops(self):
        target = Pairs(self.build, 10, os.cpu_count())
        with self.dhatd(target) as about:
            pairs, ns = target.measure(self.args.seconds * 1000)
        target.close()
        status = about["targets"][0]
        counters = {c["name"]: c["value"] for c in status["counters"]}
        lost = {c["name"]: c["value"] for c in status["counters"] if c["is_loss"] and c["value"]}
        say(f"drops: {os.cpu_count()} threads, {self.args.seconds} s at full speed with the default ring: "
            f"{2 * pairs:,} events, {2 * pairs / self.args.seconds:,.0f} a second")
        say(f"  lost: {lost or 'none'}; dhatd's CPU time {about['daemon_cpu_seconds']:.1f} s "
            f"({about['daemon_cpu_seconds'] * 1e9 / (2 * pairs):.0f} ns an event), "
            f"RSS {about['daemon_rss_bytes'] / 2**20:.0f} MB; exact: {status['verdict']['exact']}")
        return {"pairs": pairs, "ns": ns, "lost": lost, "counters": counters,
                "cpu_seconds": about["daemon_cpu_seconds"]}

    def looks(self):
        stacks, looks = 10_000, 20
        many = subprocess.Popen([self.build / "tests/targets/many_stacks"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        many.stdout.readline()

        def spent(act):
            before = self.status()["daemon_cpu_seconds"]
            act()
            return self.status()["daemon_cpu_seconds"] - before

        def tell(word):
            many.stdin.write(f"{word} {stacks}\n")
            many.stdin.flush()
            many.stdout.readline()

        def top(count):
            return subprocess.Popen([self.build / "dhatctl", "top", "--socket", self.socket, "--json", "--every", "0.1",
                                     "--count", str(count)], stdout=subprocess.PIPE)

        def change(viewer=None):
            """All stacks have another block before each further look."""
            for _ in range(looks):
                if viewer:
                    viewer.stdout.readline()
                tell("again")

        def change_and_look():
            with top(1 + looks) as viewer:
                change(viewer)
                viewer.communicate(timeout=DEADLINE)

        with self.dhatd(many):
            tell("alloc")
            top(1).communicate(timeout=DEADLINE)  # names are looked up once
            first, quiet = (spent(lambda: top(count).communicate(timeout=DEADLINE)) for count in (1, 1 + looks))
            alone, busy = spent(change), spent(change_and_look)
        many.kill()
        many.wait()
        each, changed = (quiet - first) / looks, (busy - alone - first) / looks
        say(f"looks: {stacks:,} stacks: the first look of `dhatctl top` takes {first * 1000:.0f} ms of dhatd's CPU time, each "
            f"further one {each * 1000:.2f} ms, and {changed * 1000:.2f} ms if all have changed (10 are wanted: 1 % of a core)")
        return {"first_seconds": first, "each_seconds": each, "changed_seconds": changed}

    def scale(self):
        """On a busy machine CPU time says more than what has passed."""
        rows, files = {}, [self.tmp / f"large-{n}.dhat" for n in range(2)]
        large = subprocess.Popen([self.build / "tests/targets/large_heap"], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        large.stdout.readline()

        def row(name, *argv):
            rows[name] = took = self.measured(*argv)
            say(f"  {name:<26} {took['seconds']:5.2f} s; dhatctl's CPU time {took['cpu']:.2f} s, memory "
                f"{took['bytes'] / 2**20:.0f} MiB at most")

        def snapshot(name, path):
            before = self.status()["daemon_cpu_seconds"]
            row(name, "snapshot", "--socket", self.socket, "-o", path)
            rows[name]["daemon_cpu"] = self.status()["daemon_cpu_seconds"] - before
            say(f"  {'':<26} dhatd's CPU time {rows[name]['daemon_cpu']:.2f} s")

        with self.dhatd(large):
            for count, path in zip((100, 1), files):
                large.stdin.write(f"live 100000 {count}\n")
                large.stdin.flush()
                large.stdout.readline()
                if count > 1:
                    rows["status"] = self.status()
                    watched = rows["status"]["targets"][0]
                    say(f"scale: 100,000 stacks, {watched['totals']['live_blocks']:,} live blocks; exact: "
                        f"{watched['verdict']['exact']} (at most 2 s are wanted)")
                    snapshot("the first snapshot, .dhat", path)
                snapshot("another snapshot, .dhat", path)
            snapshot("snapshot, .html", self.tmp / "large.html")
            before = self.status()["daemon_cpu_seconds"]
            row("top, five looks", "top", "--socket", self.socket, "--json", "--every", "0.2", "--count", "5")
            rows["top"] = self.status()["daemon_cpu_seconds"] - before
            say(f"  {'':<26} dhatd's CPU time {rows['top']:.2f} s")
            before = self.status()["daemon_cpu_seconds"]
            row("what keeps it resident", "pins", "--socket", self.socket)
            rows["pins"] = self.status()["daemon_cpu_seconds"] - before
            say(f"  {'':<26} dhatd's CPU time {rows['pins']:.2f} s (at most 3 s are wanted)")
            memory = Path(f"/proc/{rows['status']['daemon_pid']}/status").read_text()
        large.kill()
        large.wait()
        row("difference, listed", "diff", *files)
        row("difference, .json", "diff", *files, "-o", self.tmp / "grown.json")
        row("difference, .html", "diff", *files, "-o", self.tmp / "grown.html")
        rows["bytes"] = {path.name: path.stat().st_size for path in (*files, self.tmp / "large.html")}
        most = int(re.search(r"VmHWM:\s*(\d+) kB", memory)[1]) / 1024
        say(f"  the report is {rows['bytes']['large.html'] / 1e6:.1f} MB; dhatd has {most:.0f} MiB at most, "
            f"{rows['status']['daemon_rss_bytes'] / 2**20:.0f} MiB of them for what it watches")
        return rows

    def holds(self):
        """A scan of blocks that are all held, so that one is enough; and of some that are all lost, each in a cycle of two."""
        rows = {}
        say("holds: at most 1 s for each GiB and 3 s for 10^7 blocks are wanted, and 12 bytes a block beside the table")
        for count, size, lost in ((100_000, 10_240, 0), (1_000_000, 1024, 0), (10_000_000, 96, 0),
                                  (10_000_000, 96, 10_000_000)):
            waves = subprocess.Popen([self.build / "tests/targets/waves"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     text=True)
            waves.stdout.readline()
            with self.dhatd(waves, "--max-memory=8G"):
                waves.stdin.write(f"alloc {count} {size}\n")
                waves.stdin.flush()
                waves.stdout.readline()
                if lost:
                    waves.stdin.write(f"lose {lost}\n")
                    waves.stdin.flush()
                    waves.stdout.readline()
                before, daemon = resident(waves.pid), self.status()["daemon_pid"]
                base, told = proportional(daemon), self.scan(waves.pid, daemon)
                told |= {"grown_bytes": resident(waves.pid) - before, "base_bytes": base}
                rows[f"{count} lost" if lost else count] = told
            waves.kill()
            waves.wait()
            gib = told["read_bytes"] / 2**30
            say(f"  {count:>10,} of {size:>6,} bytes, all {'lost' if lost else 'held'}: a scan {told['scan_seconds']:5.2f} s, "
                f"{told['scan_seconds'] / gib:5.2f} s for each GiB; dhatd {base / 2**20:,.0f} MiB, with its reader {(told['most_bytes'] - base) / count:.0f} "
                f"bytes a block more at most, 24 of them the table; the process {told['grown_bytes'] / 1024:+.0f} KiB")
        rows["redis"] = services.beside_scans(self)
        return rows

    def scan(self, pid, daemon):
        """What `dhatctl holds' tells of one; and what dhatd and its readers have in memory meanwhile, looked at often; what
        they share counts once."""
        asked = subprocess.Popen([self.build / "dhatctl", "holds", "--socket", self.socket, "--json"],
                                 stdout=subprocess.PIPE, text=True)
        most = reader = 0
        with open(self.tmp / "holds.json", "w+", encoding="utf-8") as file:
            pump = threading.Thread(target=lambda: file.write(asked.stdout.read()))
            pump.start()
            while asked.poll() is None:
                own, theirs = proportional(daemon), sum(map(proportional, readers(daemon)))
                most, reader = max(most, own + theirs), max(reader, theirs)
                time.sleep(0.02)
            pump.join()
            file.seek(0)
            told = json.load(file)["holds"]
        if asked.returncode:
            sys.exit("bench: dhatctl holds failed")
        return {"scan_seconds": int(told["last_scan_ns"]) / 1e9, "read_bytes": int(told["read_bytes"]),
                "scans": told["scans"], "most_bytes": most, "reader_bytes": reader}

    def measured(self, *argv):
        """A dhatctl: how long it took, its CPU time, and the most memory it had."""
        begin = time.monotonic()
        proc = subprocess.Popen([self.build / "dhatctl", *argv], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(proc.pid, 0)
        if status:
            sys.exit(f"bench: dhatctl {argv[0]} failed")
        return {"seconds": time.monotonic() - begin, "cpu": usage.ru_utime + usage.ru_stime,
                "bytes": usage.ru_maxrss * 1024}

    def files(self):
        sys.path.insert(0, str(ROOT / "tests/e2e"))
        from browser import Browser
        from dhat_file import write_large
        rows, profiles = {}, [self.tmp / f"{stacks}.dhat" for stacks in (50_000, 100_000)]
        for profile in profiles:
            write_large(profile, int(profile.stem))
            for suffix in "html", "json", "pb.gz", "speedscope.json", "folded", "jsonl", "massif", "callgrind":
                path = profile.with_suffix(f".{suffix}")
                seconds = self.cpu_seconds("export", profile, "-o", path)
                rows[path.name] = {"seconds": seconds, "bytes": path.stat().st_size}
                say(f"files: {path.name}: {seconds:.2f} s of CPU time, {path.stat().st_size / 1e6:.1f} MB")
        seconds = self.cpu_seconds("diff", *profiles, "-o", self.tmp / "growth.html")
        rows["diff"] = {"seconds": seconds}
        say(f"files: the difference of the two, listed and as growth.html: {seconds:.2f} s of CPU time")
        with Browser(self.tmp) as browser:
            for profile in profiles:
                times = []
                for _ in range(self.args.rounds):
                    browser.open(profile.with_suffix(".html").as_uri())
                    times.append(browser.run("""const [page] = performance.getEntriesByType("navigation");
                        return page.domContentLoadedEventEnd""") / 1000)  # the script draws before that
                rows[profile.name] = {"drawn": times}
                say(f"files: {profile.stem}.html drawn {statistics.median(times):.2f} s after its opening "
                    f"({min(times):.2f} to {max(times):.2f})")
        return rows

    def cpu_seconds(self, *argv):
        """Of a dhatctl."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([self.build / "dhatctl", *argv], check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-O", dest="build", default="build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ms", type=int, default=300, help="of one measurement")
    parser.add_argument("--seconds", type=int, default=30, help="of the drop test")
    parser.add_argument("--link", default="", choices=["", "session", "multi", "perf"])
    parser.add_argument("--json", help="write all figures there, too")
    parser.add_argument("--svg", help="draw a picture there")
    parser.add_argument("--check", metavar="BASELINE", help="compare the ratios; a new file is written if there is none")
    parser.add_argument("--tolerance", type=float, default=0.15, help="of --check: by how much a ratio may be worse")
    parser.add_argument("parts", nargs="*", default=["pairs", "frames", "shapes", "kinds", "services", "price", "attach", "drops",
                                                     "collector", "looks", "scale", "holds"])
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root (BPF and uprobes); run: sudo make bench")
    say(f"{report.machine()}; {report.versions()}")
    say(f"{platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.2f} before the run"
        + (": BUSY, these figures will not do" if os.getloadavg()[0] > 0.7 else ""))
    results = {"kernel": platform.release(), "load": os.getloadavg(), "machine": report.machine(),
               "versions": report.versions()}
    with tempfile.TemporaryDirectory() as tmp:
        bench = Bench(args, Path(tmp))
        args.link = args.link or best_link(bench)
        for part in args.parts:
            run = {"pairs": bench.pairs, "frames": bench.frames_table, "attach": bench.attach,
                   "shapes": bench.shapes, "kinds": bench.kinds, "services": bench.services, "price": bench.price,
                   "collector": bench.collector,
                   "drops": bench.drops, "looks": bench.looks, "scale": bench.scale,
                   "holds": bench.holds, "files": bench.files}[part]
            results[part] = run()
    results["rows"] = bench.rows
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1) + "\n")
    if args.svg:
        Path(args.svg).write_text(report.picture(results))
    if args.check:
        return report.check(bench.rows, Path(args.check), args.tolerance)
    return 0


def best_link(bench):
    """What dhatd would use here: the first kind that can be placed."""
    target = Pairs(bench.build, 10)
    try:
        for kind in ("session", "multi", "perf"):
            done = subprocess.run([bench.build / "tests/bench/floor", str(target.pid), kind, "empty"],
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE)
            if done.returncode == 0:
                return kind
        sys.exit(f"bench: no probe can be placed: {done.stderr.decode()}")
    finally:
        target.close()


if __name__ == "__main__":
    sys.exit(main())
