"""glibcs of other releases of Debian, each with its own dynamic loader, by which a program runs with it, and with
what static programs are linked with.

Kept in $DHATD_LIBCS (~/.cache/dhatd-libcs), and looked for anew once a week.
"""
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import packages  # noqa: E402

CACHE = Path(os.environ.get("DHATD_LIBCS")
             or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dhatd-libcs")
SUITES = ["trixie", "sid", "experimental"]
FILES = {"libc6": ["ld-linux-x86-64.so.2", "libc.so.6"], "libc6-dev": ["libc.a", "crt1.o", "crti.o", "crtn.o"]}
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
        return [self.directory / "ld-linux-x86-64.so.2", "--library-path", self.directory, program, *args]

    def link(self, source, program):
        """Make a static program."""
        def of_gcc(name):
            return subprocess.run(["gcc", f"-print-file-name={name}"], check=True, capture_output=True,
                                  text=True).stdout.strip()

        here = self.directory
        subprocess.run(["gcc", "-D_GNU_SOURCE", "-static", "-nostdlib", "-nostartfiles", "-o", program, here / "crt1.o",
                        here / "crti.o", of_gcc("crtbeginT.o"), source, "-Wl,--start-group", here / "libc.a",
                        of_gcc("libgcc.a"), of_gcc("libgcc_eh.a"), "-Wl,--end-group", of_gcc("crtend.o"),
                        here / "crtn.o"], check=True)


def fetch(suite):
    """Its newest glibc, into the cache; what is there stays if it has none."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / suite
        options = packages.apt_root(root, suite)
        new = CACHE / f"{suite}.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        for package, names in FILES.items():
            if packages.download(options, package, root / package) is None:
                return
            for name in names:
                found = next(p for p in (root / package / "x").rglob(name) if p.is_file() and not p.is_symlink())
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
