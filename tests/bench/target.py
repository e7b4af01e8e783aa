"""A target of make bench: tests/targets/pairs.c and shapes.c."""
import os
import subprocess
from pathlib import Path

DEADLINE = 60


class Target:
    """It measures itself."""

    def __init__(self, argv, preload=None):
        env = os.environ | {"LD_PRELOAD": str(preload)} if preload else None
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.pid = self.proc.pid
        self.library = Path(preload).name if preload else "/libc.so.6"  # the allocator's
        assert self.proc.stdout.readline() == "ready\n"

    def begin(self, ms):
        self.proc.stdin.write(f"run {ms}\n")
        self.proc.stdin.flush()

    def result(self):
        pairs, ns = self.proc.stdout.readline().split()
        return int(pairs), float(ns)

    def measure(self, ms):
        self.begin(ms)
        return self.result()

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(DEADLINE)


class Pairs(Target):
    def __init__(self, build, frames, threads=1, preload=None):
        super().__init__([build / "tests/targets/pairs", str(frames), str(threads)], preload)
