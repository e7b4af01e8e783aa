"""dhatd attach --name and --cgroup: all processes of a service, those that start later included."""
import uuid
from pathlib import Path

import pytest

from conftest import until

WAITS = "import sys; print('ready', flush=True); sys.stdin.readline()"


def worker(target, *marks):
    """A process that allocates as it starts, then waits for its stdin."""
    process = target("/usr/bin/python3", "-c", WAITS, *marks)
    process.expect("ready")
    return process


def attached_pids(ctl):
    status = ctl("status", "--json").json()
    return {t["target"]["pid"] for t in status["targets"] if t["target"]["state"] == "attached"}


@pytest.fixture
def cgroup():
    """A new cgroup of whichever hierarchy this machine has."""
    tops = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup")]
    top = next(t for t in tops if (t / "cgroup.procs").exists())
    path = top / f"dhatd-test-{uuid.uuid4().hex[:8]}"
    path.mkdir()
    yield path
    until(lambda: not (path / "cgroup.procs").read_text(), "the cgroup to be empty")
    path.rmdir()


def test_name(daemon, ctl, target):
    mark = uuid.uuid4().hex
    other = worker(target, "somebody-else")
    first = worker(target, mark)
    daemon("attach", "--name", f"{mark[:10]}[0-9a-f]+")
    assert attached_pids(ctl) == {first.pid}
    later = worker(target, mark)
    until(lambda: attached_pids(ctl) == {first.pid, later.pid}, "the later process to be attached to")
    first.say("end")
    until(lambda: attached_pids(ctl) == {later.pid}, "the first process to be over")
    assert other.running


def test_name_that_none_has_yet(daemon, ctl, target):
    mark = uuid.uuid4().hex
    dhatd = daemon("attach", "--name", mark, pattern="answering at")
    assert attached_pids(ctl) == set()
    process = worker(target, mark)
    dhatd.expect_err(f"attached to {process.pid}")
    assert attached_pids(ctl) == {process.pid}


def test_name_that_is_no_expression(daemon):
    dhatd = daemon("attach", "--name", "(", wait=False)
    assert dhatd.wait() == 2
    assert "--name (" in dhatd.err


def test_cgroup(daemon, ctl, target, cgroup):
    outside = worker(target)
    inside = worker(target)
    (cgroup / "cgroup.procs").write_text(str(inside.pid))
    daemon("attach", "--cgroup", cgroup)
    assert attached_pids(ctl) == {inside.pid}
    # a child is born into its parent's cgroup
    shell = target("/bin/sh", "-c", f"echo $$ > {cgroup}/cgroup.procs; exec /usr/bin/python3 -c \"{WAITS}\"")
    shell.expect("ready")
    parent = target("/usr/bin/python3", "-c",
                    f"import subprocess, sys; open('{cgroup}/cgroup.procs', 'w').write('0')\n"
                    f"child = subprocess.Popen([sys.executable, '-c', {WAITS!r}])\n"
                    "print('child', child.pid, flush=True); child.wait()")
    child = int(parent.expect(r"child (\d+)")[1])
    until(lambda: child in attached_pids(ctl), "the child to be attached to")
    assert outside.pid not in attached_pids(ctl)
    for process in (inside, shell, parent):
        process.say("end")
        process.wait()
    assert outside.running


def test_cgroup_that_is_none(daemon, tmp_path):
    dhatd = daemon("attach", "--cgroup", tmp_path, wait=False)
    assert dhatd.wait() == 2
    assert "no cgroup folder" in dhatd.err
