"""glibcs of other releases of Debian, each with its own dynamic loader, by which a program runs with it.

Kept in $DHATD_LIBCS (~/.cache/dhatd-libcs), and looked for anew once a week.
"""
import fcntl
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import packages  # noqa: E402

CACHE = Path(os.environ.get("DHATD_LIBCS")
             or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dhatd-libcs")
SUITES = ["trixie", "sid", "experimental"]
FILES = ["ld-linux-x86-64.so.2", "libc.so.6"]
WEEK = 7 * 24 * 3600


class Libc:
    def __init__(self, directory):
        self.directory = directory
        banner = re.search(rb"GNU C Library .* release version ([0-9]+)[.]([0-9]+)",
                           (directory / "libc.so.6").read_bytes())
        self.version = int(banner[1]), int(banner[2])
        self.name = f"glibc {self.version[0]}.{self.version[1]}"

    def command(self, program, *args):
        """What runs a program with it."""
        return [self.directory / FILES[0], "--library-path", self.directory, program, *args]


def fetch(suite):
    """Its newest glibc, into the cache; what is there stays if it has none."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / suite
        if packages.download(packages.apt_root(root, suite), "libc6", root / "libc6") is None:
            return
        new = CACHE / f"{suite}.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        for name in FILES:
            found = next(p for p in (root / "libc6" / "x").rglob(name) if p.is_file() and not p.is_symlink())
            shutil.copy(found, new / name)
        shutil.rmtree(CACHE / suite, ignore_errors=True)
        new.rename(CACHE / suite)


def libcs():
    """All that there are, each version once, the oldest first."""
    CACHE.mkdir(parents=True, exist_ok=True)
    found = {}
    with open(CACHE / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for suite in SUITES:
            stamp = CACHE / f"{suite}.stamp"
            if not stamp.exists() or time.time() - stamp.stat().st_mtime > WEEK:
                fetch(suite)
                stamp.touch()
            if (CACHE / suite).is_dir():
                libc = Libc(CACHE / suite)
                found[libc.version] = libc
    return [found[version] for version in sorted(found)]
