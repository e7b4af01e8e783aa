#!/usr/bin/python3
"""Stacks against a debugger: stacks.py [-O DIR] [-n SAMPLES] [PROGRAM...]

First the unwinder as plain C against libdw, on the same registers and memory (stack_judge). Then
live: dhatd is attached to each program, libdw's unwinder takes its stack at random allocations, and
each of those stacks must be in dhatd's snapshot, frame for frame. Last, the share of all
allocations whose stack was walked to its end. `make stacks`.
"""
import argparse
import collections
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import wire  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = ("c", "deep", "c++", "rust", "python3", "sqlite3", "threads")
INNER, OUTER = 63, 64  # frames that are kept of a deeper stack: DHAT_INNER_FRAMES, DHAT_OUTER_FRAMES
HEAD, FRAMES, POINTS = 1, 2, 3  # parts of a snapshot


def varints(data):
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            yield value
            value = shift = 0


def read_snapshot(path):
    """Stacks of a .dhat file (proto/profile/snapshot_file.h): [(addresses, blocks, stop)].
    In the place of n frames that are left out is -n."""
    data = path.read_bytes()
    assert data[:8] == b"DHATSNAP", "not a snapshot"
    at, addresses, points = 16, [0], []
    while True:
        size = struct.unpack_from("<I", data, at)[0]
        if size == 0xFFFFFFFF:
            break
        for kind, part in wire.fields(data[at + 4:at + 4 + size]):
            for _, item in wire.fields(part) if kind in (FRAMES, POINTS) else ():
                if kind == FRAMES:
                    frame = dict(wire.fields(item))
                    addresses.append(-frame[8] if 8 in frame else frame.get(1, 0))
                else:
                    points.append(wire.fields(item))
        at += 4 + size
    stacks = []
    for point in points:
        numbers, blocks, stop = [], 0, ""
        for field, value in point:
            if field == 2:
                blocks = value
            elif field == 10:
                numbers += varints(value) if isinstance(value, bytes) else [value]
            elif field == 11:
                stop = value.decode()
        stacks.append((tuple(addresses[number] for number in numbers), blocks, stop))
    return stacks


def shortened(stack):
    """As dhatd keeps it."""
    if len(stack) <= INNER + OUTER:
        return stack
    return stack[:INNER] + (INNER + OUTER - len(stack),) + stack[-OUTER:]


class Result:
    """sampled: libdw's stacks; missing: those of them that dhatd does not have."""

    def __init__(self, sampled, stacks):
        ours = {frames for frames, _, _ in stacks}
        self.sampled = sampled
        self.missing = [stack for stack in sampled if shortened(stack) not in ours]
        self.blocks = collections.Counter()
        for frames, blocks, stop in stacks:
            if frames:
                self.blocks[stop] += blocks
        self.ours = ours

    @property
    def equal(self):
        return 1 - len(self.missing) / max(len(self.sampled), 1)

    @property
    def complete(self):
        return self.blocks["complete"] / max(sum(self.blocks.values()), 1)

    def nearest(self, stack):
        """Of dhatd's stacks the one that agrees longest with stack, innermost first."""
        def agreement(other):
            return next((i for i, (a, b) in enumerate(zip(stack, other)) if a != b),
                        min(len(stack), len(other)))
        return max(self.ours, key=agreement, default=())


def until_line(stream, wanted, what):
    for line in stream:
        if wanted in line:
            return
    raise RuntimeError(f"{what} ended without saying {wanted!r}")


def wait_for_tables(build, socket):
    """What is allocated before an object's table is there is walked by frame pointers, and says so.
    Here the program waits."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        status = subprocess.run([build / "dhatctl", "status", "--json", "--socket", socket], check=True, timeout=60,
                                stdout=subprocess.PIPE).stdout
        target = json.loads(status)["targets"][0]
        if target["tables_ready"] and not target["tables_pending"]:
            return
        time.sleep(0.02)
    raise RuntimeError("the tables were not ready within 120 s")


def run_live(build, program, samples=400):
    """dhatd and libdw on the same run of a program."""
    with tempfile.TemporaryDirectory(prefix="dhat-stacks-") as name:
        folder = Path(name)
        socket = folder / "socket"
        judge = subprocess.Popen(
            [build / "tests/judge/stack_judge", "-n", str(samples), "-l", folder / "stacks", program], cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        dhatd = None
        try:
            pid = judge.stdout.readline().strip()
            if not pid.isdigit():
                raise RuntimeError(f"{program}: {pid}")
            dhatd = subprocess.Popen([build / "dhatd", "attach", "--pid", pid, "--socket", socket],
                                     stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
            until_line(dhatd.stderr, "answering", "dhatd")
            wait_for_tables(build, socket)
            judge.stdin.write("\n")
            judge.stdin.flush()
            until_line(judge.stdout, "done", "stack_judge")
            subprocess.run([build / "dhatctl", "snapshot", "--socket", socket, "-o", folder / "s.dhat"],
                           check=True, timeout=120, stdout=subprocess.DEVNULL)
            sampled = [tuple(int(frame, 16) for frame in line.split())
                       for line in (folder / "stacks").read_text().splitlines()]
            return Result(sampled, read_snapshot(folder / "s.dhat"))
        finally:
            judge.communicate("\n\n")  # first: dhatd does not leave a process that a debugger holds
            if dhatd:
                dhatd.terminate()
                dhatd.communicate()


def describe(program, result):
    stops = ", ".join(f"{stop} {blocks}" for stop, blocks in result.blocks.most_common() if stop != "complete")
    print(f"{program:<10} {len(result.sampled):>4} of libdw's stacks: {100 * result.equal:6.2f} % in dhatd's snapshot; "
          f"{sum(result.blocks.values()):>8} allocations: {100 * result.complete:6.2f} % complete"
          f"{'; ' + stops if stops else ''}", flush=True)
    for stack in result.missing[:1]:
        nearest = result.nearest(stack)
        print(f"    libdw:  {' '.join(f'{frame:x}' for frame in stack)}")
        print(f"    dhatd:  {' '.join(f'{frame:x}' for frame in nearest)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-O", dest="build", default=os.environ.get("DHATD_BUILD", "build"))
    parser.add_argument("-n", dest="samples", type=int, default=400)
    parser.add_argument("programs", nargs="*", default=PROGRAMS)
    args = parser.parse_args()
    build = (ROOT / args.build).resolve()
    print("the unwinder as plain C, against libdw on the same registers and memory:", flush=True)
    good = True
    for program in args.programs:
        good &= subprocess.run([build / "tests/judge/stack_judge", "-n", str(args.samples), program],
                               cwd=ROOT).returncode == 0
    print("dhatd, live:", flush=True)
    for program in args.programs:
        result = run_live(build, program, args.samples)
        describe(program, result)
        good &= result.equal >= 0.995 and result.complete >= 0.99
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
