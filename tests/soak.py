#!/usr/bin/python3
"""make soak: dhatd as a service for an hour (SOAK_SECONDS=3600), with TARGETS processes that come and go.

tests/soak.py [-O DIR] [--seconds N] [--targets N]
Judged: dhatd's memory, descriptors, threads and children stay flat (medians of the last third of the time against the second; and, of an hour, of
what it has allocated, as its page of figures tells, to 4 KiB for each process that has ended in between); no event is lost; each trigger of each process (live, growth, failed-allocation, exit, SIGUSR2) fires once, reloads or not, which let go of nothing; all scrapes are
answered; files that are kept keep to their bound; it ends in peace.
The last line: N passed, N failed, N skipped.
"""
import argparse
import collections
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEEP = 24
GROWN = 1.10  # how many are watched differs a little
RINGS_GROWN = 1.5  # rings are most of what is resident: of each what the targets have filled once, the less the busier the machine is
LEFT = 4.0    # KiB for each process that has ended
WARM = 3000   # seconds of a run, of which the last two thirds are warm: until then tables and names are still read for the first time
LOOK = 1.0    # seconds between looks at dhatd
SCRAPE = 15.0
SETTLED = 20.0
KEPT_ALL = 60.0  # so long keeping a profile of each may take
ONCE = "live>1M", "growth>1M/s", "failed-allocation"  # of each that passed the level
# of one that a busy machine attached to late: its heap changes while it is listed, which is told, and counted here
NOT_WHOLE = "list of blocks from before the attach is not whole"
LATE = f"is not all of this process|{NOT_WHOLE}|still being listed"


class Target:
    """Allocates for a while, passes the level of a trigger once, and ends or is killed."""

    def __init__(self, path, chance, log_bytes):
        self.log_bytes = log_bytes  # dhatd's, before it began: a number may have been another's before
        self.proc = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.chance = chance
        self.end = time.monotonic() + chance.uniform(20, 120)
        self.level = time.monotonic() + chance.uniform(2, 5)
        self.passed_level = False
        self.attached_at = self.listed_at = float("inf")  # as far as is known here

    @property
    def is_attached(self):
        return self.attached_at < float("inf")

    def say(self, line):
        try:
            self.proc.stdin.write(line.encode() + b"\n")
            self.proc.stdin.flush()
        except BrokenPipeError:
            pass

    def work(self):
        """False: it is over."""
        now = time.monotonic()
        if now > self.end:
            self.proc.kill() if self.chance.random() < 0.5 else self.say("quit")
            return False
        if self.passed_level:  # slowly: it has grown fast once
            self.say("alloc 10 100")
        else:  # what is there for less than a second may not be seen
            self.say("alloc 200 100")
            self.say("free 200")
        # not just before the end: once a second each is looked at, if the machine has the time; nor soon after its blocks were listed:
        # growth of a second is known when it has been looked at for one since, which waits while profiles of all are kept
        if not self.passed_level and max(self.level, self.listed_at + SETTLED) < now < self.end - SETTLED / 2:
            self.say("alloc 2000 1000")
            self.say("fail")
            self.passed_level = True
        return True


def status_of(pid):
    """What dhatd holds: resident KiB, without its rings and with them, descriptors, threads, children."""
    text = Path(f"/proc/{pid}/status").read_text()
    children = [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return (int(re.search(r"RssAnon:\s+(\d+)", text).group(1)), int(re.search(r"VmRSS:\s+(\d+)", text).group(1)), len(os.listdir(f"/proc/{pid}/fd")),
            int(re.search(r"Threads:\s+(\d+)", text).group(1)), len(children))


class Soak:
    def __init__(self, build, directory, targets):
        self.build, self.directory = build, directory
        self.log = directory / "dhatd.log"
        self.program = shutil.copy(build / "tests/targets/waves", directory / "soaked")
        self.chance = random.Random(1)
        self.configure(targets, 0)
        self.dhatd = subprocess.Popen([build / "dhatd", "serve", "--socket", directory / "socket", "--config", directory / "conf",
                                       "--record", directory / "kept", "--listen", "127.0.0.1:0"], stdout=subprocess.DEVNULL,
                                      stderr=open(self.log, "wb"), stdin=subprocess.DEVNULL)
        self.wait_for("answering by HTTP")
        self.url = re.search(r"by HTTP at (\S+)", self.log.read_text())[1] + "metrics"
        self.wanted, self.targets = targets, [self.begin() for _ in range(targets)]
        self.gone, self.looks, self.losses, self.inexact, self.not_whole = [], [], collections.Counter(), set(), set()
        self.sure, self.signals, self.scrapes, self.reloads = collections.Counter(), 0, collections.Counter(), 0
        self.heaps = []  # (when, KiB that dhatd has allocated, how many had ended)

    def configure(self, targets, number):
        """Not the same as before: a section that is, is passed over by a reload."""
        triggers = "".join(f"on = {trigger}\n" for trigger in (*ONCE, "exit"))
        (self.directory / "conf").write_text(f"[watch soak]\ncommand = ^{self.program}$\nmax-targets = {targets * 2}\n{triggers}"
                                             f"exec = /bin/true\nevery = {20 + number % 2}s\nkeep = {KEEP}\n")

    def begin(self):
        return Target(self.program, self.chance, self.log.stat().st_size)

    def wait_for(self, text):
        while text not in self.log.read_text(errors="replace"):
            if self.dhatd.poll() is not None:
                sys.exit(self.log.read_text(errors="replace"))
            time.sleep(0.1)

    def status(self):
        done = subprocess.run([self.build / "dhatctl", "status", "--json", "--socket", self.directory / "socket"],
                              capture_output=True, text=True, timeout=120)
        return json.loads(done.stdout)["targets"] if done.returncode == 0 else []

    def look(self):
        self.looks.append((time.monotonic(), *status_of(self.dhatd.pid)))
        if len(self.looks) % 10:
            log = self.log.read_bytes()
            attached = {int(m[1]): m.start() for m in re.finditer(rb" attached to (\d+) ", log)}
        else:
            attached, listed = {}, set()
            for target in self.status():
                if target["target"]["state"] == "attached" and not target["totals"]["is_listing"]:
                    listed.add(target["target"]["pid"])
                for counter in target["counters"]:
                    if counter["is_loss"] and counter["value"]:
                        self.losses[counter["name"]] += counter["value"]
                reasons = [reason for reason in target["verdict"]["reasons"] if not re.search(LATE, reason)]
                if any(NOT_WHOLE in reason for reason in target["verdict"]["reasons"]):
                    self.not_whole.add(target["target"]["pid"])
                if target["verdict"]["word"] == "inexact" or reasons:
                    self.inexact.add((target["target"]["pid"], *reasons))
            for target in self.targets:
                if target.is_attached and target.proc.pid in listed:
                    target.listed_at = min(target.listed_at, time.monotonic())
        for target in self.targets:
            if attached.get(target.proc.pid, -1) >= target.log_bytes:
                target.attached_at = min(target.attached_at, time.monotonic())

    def scrape(self):
        try:
            with urllib.request.urlopen(self.url, timeout=60) as answer:
                own = re.search(rb"^dhatd_own_heap_bytes (\d+)", answer.read(), re.M)
                self.scrapes["answered" if own else "without figures"] += 1
                if own:
                    self.heaps.append((time.monotonic(), int(own[1]) / 1024, len(self.gone)))
        except OSError as error:
            self.scrapes[str(error)] += 1

    def disturb(self):
        """A reload, and a wish to keep all: of those that are watched surely, and for a while, one each."""
        self.reloads += 1
        self.configure(self.wanted, self.reloads)
        self.dhatd.send_signal(signal.SIGHUP)
        sure = [target for target in self.targets if target.is_attached]
        self.sure.update(sure)
        for target in sure:  # on a busy machine names for dozens of profiles take their time
            target.end = max(target.end, time.monotonic() + KEPT_ALL)
        self.signals += 1
        self.dhatd.send_signal(signal.SIGUSR2)

    def run(self, seconds):
        end = time.monotonic() + seconds
        disturb_at = time.monotonic() + seconds / 4
        next_look = next_scrape = 0
        while time.monotonic() < end and self.dhatd.poll() is None:
            for i, target in enumerate(self.targets):
                if not target.work():
                    target.proc.wait(60)
                    self.gone.append(target)
                    self.targets[i] = self.begin()
            if disturb_at < time.monotonic() < end - KEPT_ALL:
                self.disturb()
                disturb_at = time.monotonic() + seconds / 4
            if time.monotonic() > next_scrape:
                self.scrape()
                next_scrape = time.monotonic() + SCRAPE
            if time.monotonic() > next_look:
                self.look()
                next_look = time.monotonic() + LOOK
            time.sleep(0.05)

    def close(self):
        for target in self.targets:
            target.proc.kill()
            target.proc.wait()
        self.dhatd.send_signal(signal.SIGTERM)
        try:
            return self.dhatd.wait(300)
        except subprocess.TimeoutExpired:
            self.dhatd.kill()
            return "none: it did not end"

    def fired(self, trigger):
        """How often, of each process: the last that had begun with the number by then."""
        fired = collections.Counter()
        for found in re.finditer(rf"^dhatd: (?:[-\d]+ [:\d]+ )?(?:[^:\n]*; )?{re.escape(trigger)}(?:; [^:\n]*)?: soaked \(pid (\d+)\)".encode(),
                                 self.log.read_bytes(), re.M):
            fired[max((target for target in self.gone + self.targets
                       if target.proc.pid == int(found[1]) and target.log_bytes <= found.start()),
                      key=lambda target: target.log_bytes)] += 1
        return fired

    def told_of(self, targets):
        """What dhatd said of them, and of others that had the number."""
        log = self.log.read_text(errors="replace").splitlines()
        return "".join(f"\n           began at byte {target.log_bytes}, killed at {target.end:.0f} s: {line}"
                       for target in targets for line in log if re.search(rf"\b{target.proc.pid}\b", line))

    def checks(self, status):
        """(what, is it so, figures)"""
        began, ended = self.looks[0][0], self.looks[-1][0]

        def medians(readings, i):
            """Of the second third of the time, and of the last."""
            parts = [[], []]
            for reading in readings:
                third = int(3 * (reading[0] - began) / (ended - began))
                if third:
                    parts[min(third, 2) - 1].append(reading[i])
            return [statistics.median(part) for part in parts]

        for i, what in enumerate(("KiB resident", "KiB resident with rings", "descriptors", "threads", "children"), 1):
            before, after = medians(self.looks, i)
            grown = RINGS_GROWN if "rings" in what else GROWN
            yield f"{what} stay flat", after <= before * grown + 3, f"{before:.0f}, then {after:.0f}"
        if ended - began >= WARM:
            (before, after), (gone, gone_then) = (medians(self.heaps, i) for i in (1, 2))
            each = (after - before) / max(gone_then - gone, 1)
            yield "KiB that it has allocated stay flat", each <= LEFT, f"{before:.0f}, then {after:.0f}: {each:+.2f} for each that ended"
        yield "nothing was lost", not self.losses, dict(self.losses)
        yield "all were exact from the attach on", not self.inexact, sorted(self.inexact)[:3]
        passed = {t for t in self.gone if t.passed_level}

        def pids(targets):
            return [target.proc.pid for target in targets][:5]
        for trigger in ONCE:
            fired = self.fired(trigger)
            yield f"{trigger} fired once for each that passed it", passed and passed <= set(fired) and set(fired.values()) <= {1}, \
                f"{len(passed)} passed it, {len(fired)} fired, {pids(passed - set(fired))} did not, " \
                f"{pids(t for t, times in fired.items() if times > 1)} more than once" + self.told_of(passed - set(fired))
        asked = self.fired("SIGUSR2")
        yield "each SIGUSR2 kept one of each once", all(asked[t] >= times for t, times in self.sure.items()) and \
            all(times <= self.signals for times in asked.values()), \
            f"{self.signals} came, {sum(self.sure.values())} were watched surely then, {sum(asked.values())} kept, " \
            f"{pids(t for t, times in self.sure.items() if asked[t] < times)} too few"
        exits = self.fired("exit")
        seen = {t for t in self.gone if t.is_attached}
        yield "exit fired once for each that was watched", seen <= set(exits) and set(exits.values()) <= {1}, \
            f"{len(seen)} were, {len(exits)} fired, {pids(seen - set(exits))} did not, " \
            f"{pids(t for t, times in exits.items() if times > 1)} more than once" + self.told_of(seen - set(exits))
        files = collections.Counter("every" if path.stem.endswith("every") else "triggers" for path in (self.directory / "kept").glob("*.dhat")
                                    if not path.stem.endswith("-stop"))
        yield "files keep to their bound", len(files) == 2 and all(0 < n <= KEEP for n in files.values()), dict(files)
        let_go = re.findall("detached from .*", self.log.read_text(errors="replace"))
        yield "reloads let go of nothing", self.reloads and not let_go, f"{self.reloads} reloads, {let_go[:3]}"
        yield "scrapes were answered", set(self.scrapes) == {"answered"}, dict(self.scrapes)
        failed = [line for line in self.log.read_text(errors="replace").splitlines()
                  if re.search("is not kept|not run this time|cannot", line)]
        yield "nothing failed", not failed, f"{len(failed)} times: {failed[:5]}"
        yield "it ended in peace", status == 0, status


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-O", dest="build", type=Path, default=ROOT / "build")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--targets", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        soak = Soak(options.build.resolve(), Path(directory), options.targets)
        try:
            soak.run(options.seconds)
        finally:
            status = soak.close()
        results = list(soak.checks(status))
    print(f"{options.seconds:.0f} s, {options.targets} processes at a time, {len(soak.gone)} have ended; of "
          f"{len(soak.not_whole)} the blocks from before were not all found")
    for what, is_so, figures in results:
        print(f"  {'ok  ' if is_so else 'FAIL'} {what}: {figures}" if not is_so or "flat" in what or "once" in what
              else f"  ok   {what}")
    failed = sum(not is_so for _, is_so, _ in results)
    print(f"{len(results) - failed} passed, {failed} failed, 0 skipped")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
