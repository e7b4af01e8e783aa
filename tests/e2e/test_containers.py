"""Targets in namespaces of their own, with programs and libraries that the host cannot open by
path; and several targets at once."""
import os
import re
from pathlib import Path

import pytest
from conftest import BUILD, until
from oracle import Profile
from test_allocators import PROGRAMS, check_books, sums_of

BUILD_ROOT = """
set -e
mount -t tmpfs none /mnt
mkdir -p /mnt/srv /mnt/lib64 /mnt/lib/x86_64-linux-gnu
cp "$0" /mnt/srv/app
for f in $(ldd "$0" | grep -o '/[^ ]*'); do cp "$f" "/mnt$f"; done
"""
NAMESPACES = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def child_of(process):
    """The process that unshare forked, once it runs the program. Its pid here."""
    def running():
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return next((int(pid) for pid in children if os.readlink(f"/proc/{pid}/exe").endswith("/app")), None)
    return until(running, "the container's program")


def start_contained(target, program, *options, chroot=True):
    """The program as pid 1 of its own pid namespace, in a root of its own on a tmpfs that is
    mounted nowhere else: neither it nor its C library has a path here."""
    last = "exec chroot /mnt /srv/app" if chroot else "cd /; exec /mnt/srv/app"
    container = target("/usr/bin/unshare", *options, *NAMESPACES, "sh", "-c", BUILD_ROOT + last, program)
    container.expect("^ready")
    return container, child_of(container)


@pytest.mark.parametrize("options", [(), ("--user", "--map-root-user"), ("--net", "--ipc", "--uts", "--cgroup")],
                         ids=["mount+pid", "user", "all"])
def test_container(options, daemon, ctl, target, tmp_path):
    container, pid = start_contained(target, PROGRAMS / "glibc", *options)
    assert not Path("/srv/app").exists() and not Path("/mnt/srv/app").exists()
    daemon("attach", "--pid", pid)
    container.say("")
    books = sums_of(container)
    ctl("snapshot", "-o", tmp_path / "held.json")
    profile = Profile(tmp_path / "held.json")
    assert profile.exact, profile.reasons
    check_books(profile, books)
    container.say("")
    assert container.wait() == 0


def test_both_pids_are_shown(daemon, ctl, target):
    """The pid as the host has it, and as the container has it."""
    container, pid = start_contained(target, PROGRAMS / "glibc")
    daemon("attach", "--pid", pid)
    (entry,) = ctl("status", "--json").json()["targets"]
    assert entry["target"]["pid"] == pid
    assert entry["target"]["namespace_pids"] == [pid, 1]
    assert entry["target"]["executable"].endswith("/srv/app")


def test_daemon_inside_the_pid_namespace(ctl, target, socket_path, tmp_path):
    """The daemon may stand on the other side: it sees the target as pid 1."""
    container, pid = start_contained(target, PROGRAMS / "glibc")
    dhatd = target("/usr/bin/nsenter", "--target", pid, "--pid", "--mount", "--", BUILD / "dhatd", "attach",
                   "--socket", socket_path, "--pid", 1)
    dhatd.expect_err("attached|listening")
    container.say("")
    books = sums_of(container)
    ctl("snapshot", "-o", tmp_path / "held.json")
    check_books(Profile(tmp_path / "held.json"), books)


def test_static_program_in_a_user_namespace(daemon, ctl, target, tmp_path):
    container, pid = start_contained(target, PROGRAMS / "musl-static", "--user", "--map-root-user")
    daemon("attach", "--pid", pid)
    container.say("")
    books = sums_of(container)
    ctl("snapshot", "-o", tmp_path / "held.json")
    check_books(Profile(tmp_path / "held.json"), books)


def test_several_targets(daemon, ctl, target, tmp_path):
    """One daemon, five targets with five allocators, each with its own figures."""
    names = ["glibc", "musl-static", "jemalloc-rjem", "cxx-tcmalloc", "mimalloc"]
    processes = {name: target(PROGRAMS / name) for name in names}
    for process in processes.values():
        process.expect("^ready")
    first, *others = processes.values()
    daemon("attach", "--pid", first.pid)
    for process in others:
        ctl("attach", "--pid", process.pid)
    for process in processes.values():
        process.say("")
    books = {name: sums_of(process) for name, process in processes.items()}

    assert len(ctl("status", "--json").json()["targets"]) == len(names)
    refused = ctl("snapshot", "-o", tmp_path / "which.json", ok=False)
    assert refused.status != 0 and re.search("--pid", refused.err)
    for name, process in processes.items():
        path = tmp_path / f"{name}.json"
        ctl("snapshot", "--pid", process.pid, "-o", path)
        profile = Profile(path)
        assert profile.exact, profile.reasons
        check_books(profile, books[name])

    # one that is let go goes on; the others are still watched
    ctl("detach", "--pid", first.pid)
    for process in processes.values():
        process.say("")
        assert process.wait() == 0
    for name, process in list(processes.items())[1:]:
        ctl("snapshot", "--pid", process.pid, "-o", tmp_path / "ended.json")
        assert Profile(tmp_path / "ended.json").sums(lambda p: p["tb"] > 0)["eb"] == 0
