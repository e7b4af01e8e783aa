"""A target of make bench: tests/targets/pairs.c and shapes.c.

It has a C library of its own, a copy: the kernel asks all who probe a file at each hit in any process, so that
whoever watches another one at the same time would be measured, too.
"""
import os
import re
import shutil
import subprocess
from pathlib import Path

DEADLINE = 60


def copy_libc(folder):
    """What a program is started by, so that it has the copy."""
    maps = Path("/proc/self/maps").read_text()
    loader = re.search(r"/\S*/ld-linux-x86-64\.so\.2", maps)[0]
    for path in (loader, re.search(r"/\S*/libc\.so\.6", maps)[0]):
        shutil.copy2(path, folder)
    return [folder / Path(loader).name, "--library-path", folder]


class Target:
    """It measures itself."""

    starter = []  # copy_libc()

    def __init__(self, argv, preload=None):
        argv = argv if preload else [*self.starter, *argv]
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
