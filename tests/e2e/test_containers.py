"""Targets in namespaces of their own, with programs and libraries that the host cannot open by
path; and several targets at once."""
import os
import re
from pathlib import Path

import pytest
from conftest import BUILD, TARGETS, until
from oracle import Profile, book_sums, last_line_json, state_of, states_of
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
    dhatd.expect_err("answering at")
    container.say("")
    books = sums_of(container)
    ctl("snapshot", "-o", tmp_path / "held.json")
    check_books(Profile(tmp_path / "held.json"), books)


class Inside:
    """A pid namespace whose processes see each other only; started from outside it."""

    def __init__(self, target):
        self.target = target
        # pid 1 ends when its stdin does, and takes all others along
        self.first = target("/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                            "sh", "-c", "echo ready; read x")
        self.first.expect("ready")
        children = Path(f"/proc/{self.first.pid}/task/{self.first.pid}/children").read_text().split()
        self.enter = ["/usr/bin/nsenter", "--target", children[0], "--pid", "--mount", "--"]

    def start(self, *argv):
        return self.target(*self.enter, *argv)

    def program(self, name, *args):
        """Started, and its pid as the namespace has it."""
        process = self.start(TARGETS / name, "--gate", *args)
        process.expect("ready")
        return process, last_line_json(process.out)["pid"]

    def daemon(self, socket_path, *argv):
        dhatd = self.start(BUILD / "dhatd", *argv, "--socket", socket_path)
        dhatd.expect_err("answering at")
        return dhatd


@pytest.fixture
def inside(target):
    return Inside(target)


def test_exec_seen_from_inside(inside, ctl, socket_path, tmp_path):
    process, pid = inside.program("exec_chain", "--hold", 1)
    inside.daemon(socket_path, "attach", "--pid", pid, "--no-inventory", "--follow-exec")
    process.say("go")
    process.expect("total_bytes")
    until(lambda: len(states_of(ctl, pid)) == 2, "the new program to be attached")
    before, after = states_of(ctl, pid)
    assert before.startswith("replaced") and after.startswith("attached")
    process.say("end")
    assert process.wait() == 0


def test_children_seen_from_inside(inside, ctl, socket_path, tmp_path):
    family, pid = inside.program("family", 3)
    inside.daemon(socket_path, "attach", "--pid", pid, "--no-inventory", "--follow-fork")
    family.say("go")
    family.expect("children")
    children = last_line_json(family.out)["children"]
    until(lambda: all(state_of(ctl, child).startswith("attached") for child in children), "the children to be attached")
    family.say("work")
    family.expect("worked")
    for number, child in enumerate(children, 1):
        ctl("snapshot", "-o", tmp_path / f"{child}.json", "--pid", child)
        profile = Profile(tmp_path / f"{child}.json")
        assert profile.allocated_in("family.c")["tbk"] == number
        assert profile.exact, profile.reasons
    family.say("end")
    assert family.wait() == 0


def test_end_seen_from_inside(inside, ctl, socket_path, tmp_path):
    """Threads and their ends, children that share the memory, the exit status: all of the right process."""
    threads, pid = inside.program("thread_churn", 200)
    bystander, bystander_pid = inside.program("thread_churn", 200)
    inside.daemon(socket_path, "attach", "--pid", pid, "--no-inventory")
    bystander.say("go")
    assert bystander.wait() == 0
    threads.say("go")
    assert threads.wait() == 0
    until(lambda: state_of(ctl, pid).startswith("exited"), "its end to be told")
    assert "exit status 0" in state_of(ctl, pid)
    ctl("snapshot", "-o", tmp_path / "t.json", "--pid", pid)
    profile, book = Profile(tmp_path / "t.json"), last_line_json(threads.out)
    assert profile.allocated_in("thread_churn.c")["tbk"] == book["total_blocks"] == 600
    counters = {c["name"]: c["value"] for c in profile.verdict["counters"]}
    assert counters["thread_cache_frees"] == 200 * 3  # by the end of each thread, two blocks and the cache
    assert counters["unknown_frees"] == 0
    assert profile.exact, profile.reasons


def test_vfork_seen_from_inside(inside, ctl, socket_path, tmp_path):
    """Until its exec a child of vfork runs in the target's memory, and hits the target's probes."""
    forks, pid = inside.program("forks", "--hold", 50, "vfork")
    inside.daemon(socket_path, "attach", "--pid", pid, "--no-inventory")
    forks.say("go")
    forks.expect("total_bytes")
    ctl("snapshot", "-o", tmp_path / "f.json")
    profile, book = Profile(tmp_path / "f.json"), last_line_json(forks.out)
    assert profile.allocated_in("forks.c") == book_sums(book)
    assert profile.exact, profile.reasons
    forks.say("end")
    assert forks.wait() == 0


def test_names_seen_from_inside(inside, ctl, socket_path):
    """--name finds those that begin later by the kernel's word, which has other numbers."""
    first, first_pid = inside.program("waves")
    inside.daemon(socket_path, "attach", "--name", "^waves$")
    second, second_pid = inside.program("waves")
    for pid in (first_pid, second_pid):
        until(lambda pid=pid: state_of(ctl, pid), "both to be attached")
    assert first_pid < second_pid < 100


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
    assert refused.status != 0 and re.search(rf"say which.*`dhatctl snapshot {first.pid}", refused.err)
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
