"""glibcs of other releases of Debian, each with its own dynamic loader, by which a program runs with it, and with
what static programs are linked with; and rpmalloc, which no release of Debian has yet.

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
BESIDE = {"sid": {"librpmalloc-dev": ["librpmalloc.a", "rpmalloc.h"]}}
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
        for package, names in (FILES | BESIDE.get(suite, {})).items():
            if packages.download(options, package, root / package) is None:
                return
            for name in names:
                found = next(p for p in (root / package / "x").rglob(name) if p.is_file() and not p.is_symlink())
                shutil.copy(found, new / name)
        shutil.rmtree(CACHE / suite, ignore_errors=True)
        new.rename(CACHE / suite)


def keep(suite):
    """It is in the cache, with all that is wanted of it now, and no older than a week."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = CACHE / f"{suite}.stamp"
        beside = [CACHE / suite / name for names in BESIDE.get(suite, {}).values() for name in names]
        if not stamp.exists() or time.time() - stamp.stat().st_mtime > WEEK or not all(path.exists() for path in beside):
            fetch(suite)
            stamp.touch()
    return CACHE / suite


def libcs():
    """All that there are, each version once, the oldest first."""
    found = {libc.version: libc for libc in (Libc(place) for place in map(keep, SUITES) if place.is_dir())}
    return [found[version] for version in sorted(found)]


def rpmalloc():
    """The folder with its archive and its header."""
    return keep("sid")
