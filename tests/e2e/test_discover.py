"""dhatd attach --name, --command, --cgroup and --container: all processes of a service, those that start later included, and
nobody else's."""
import json
import os
import re
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

import pytest

from conftest import BUILD, DEADLINE, TARGETS, until
from oracle import Profile

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


@pytest.fixture
def mark():
    """A name that no process of this machine has; comm has room for it."""
    return uuid.uuid4().hex[:12]


@pytest.fixture
def named(target, tmp_path, mark):
    """named(): a program of that name, which waits for its stdin."""
    path = shutil.copy(TARGETS / "waves", tmp_path / mark)

    def start():
        process = target(path)
        process.expect("ready")
        return process
    return start


def test_command(daemon, ctl, target, mark):
    other = worker(target, "somebody-else")
    first = worker(target, mark)
    daemon("attach", "--command", f"{mark[:10]}[0-9a-f]+")
    assert attached_pids(ctl) == {first.pid}
    later = worker(target, mark)
    until(lambda: attached_pids(ctl) == {first.pid, later.pid}, "the later process to be attached to")
    first.say("end")
    until(lambda: attached_pids(ctl) == {later.pid}, "the first process to be over")
    assert other.running


def test_name_is_the_programs(daemon, ctl, target, named, mark):
    """By its executable, or as it calls itself; not by a word among its arguments."""
    only_an_argument = worker(target, mark)
    first = named()
    script = target("/usr/bin/python3", "-c", f"open('/proc/self/comm', 'w').write('{mark}')\n{WAITS}")
    script.expect("ready")
    dhatd = daemon("attach", "--name", f"^{mark}$")
    assert attached_pids(ctl) == {first.pid, script.pid}
    later = named()
    until(lambda: attached_pids(ctl) == {first.pid, script.pid, later.pid}, "the later process")
    assert only_an_argument.running
    assert f"attached to {first.pid} ({mark}), " in dhatd.err


def test_name_that_none_has_yet(daemon, ctl, named, mark):
    dhatd = daemon("attach", "--name", mark)
    assert f"no process matches --name '{mark}' yet; waiting\n" in dhatd.err
    assert attached_pids(ctl) == set()
    process = named()
    dhatd.expect_err(f"attached to {process.pid}")
    assert attached_pids(ctl) == {process.pid}


def test_name_that_is_no_expression(daemon):
    dhatd = daemon("attach", "--name", "(", wait=False)
    assert dhatd.wait() == 2
    assert "--name (" in dhatd.err


def test_ancestors_and_other_dhatds_are_never_meant(daemon, ctl, target, started, tmp_path, mark):
    """`sudo dhatd attach --command nginx`: sudo has the word in its arguments, too."""
    from conftest import Process
    other = daemon("serve", socket=tmp_path / f"{mark}.sock")  # a dhatd with the word in its arguments, and a worker
    meant = worker(target, mark)
    argv = ["/usr/bin/timeout", "--foreground", "600", "/bin/sh", "-c",  # two ancestors that have it
            f"'{BUILD}/dhatd' attach --socket '{tmp_path}/own.sock' --command '{mark}|dhatd-worker --worker'; exit $?"]
    process = Process(argv, tmp_path, "timeout")
    started.append(process)
    process.expect_err("answering at")
    own = json.loads(ctl("status", "--json", socket=tmp_path / "own.sock").out)
    try:  # neither timeout, sh nor the other dhatd, nor a worker of anybody's
        assert [t["target"]["pid"] for t in own["targets"]] == [meant.pid]
    except AssertionError:
        os.kill(own["daemon_pid"], signal.SIGKILL)  # which the end of timeout would leave
        raise
    # … which the preview tells, of the ones that are there now
    done = subprocess.run([BUILD / "dhatd", "plan", "--json", "--command", mark], capture_output=True, text=True)
    rows = {row["pid"]: row["reason"] for row in json.loads(done.stdout)["processes"]}
    assert rows[meant.pid] == "" and rows[other.pid] == "left out: a dhatd"
    os.kill(own["daemon_pid"], signal.SIGTERM)
    assert process.wait() == 0


def test_more_than_were_meant(daemon, ctl, named, mark):
    """Too many at the start: none is attached to. Too many later: those are left alone until there is room."""
    several = [named() for _ in range(3)]
    plan = subprocess.run([BUILD / "dhatd", "plan", "--name", mark, "--max-targets", "2"], capture_output=True, text=True)
    assert plan.returncode == 2 and "3 processes match" in plan.stdout and "--max-targets 3" in plan.stdout
    refused = daemon("attach", "--name", mark, "--max-targets", "2", wait=False)
    assert refused.wait() == 2
    assert f"3 processes match --name '{mark}', more than 2" in refused.err and "--max-targets 3" in refused.err
    assert "attached" not in refused.err
    dhatd = daemon("attach", "--name", mark, "--max-targets", "3")
    assert attached_pids(ctl) == {p.pid for p in several}
    late = named()
    dhatd.expect_err(f"process {late.pid} matches, too, but 3 are watched already")
    several[0].say("end")
    several[0].kill()
    until(lambda: attached_pids(ctl) == {several[1].pid, several[2].pid, late.pid}, "the late one to have its turn")


def test_preview(target, named, mark, public):
    """What it lists is what an attach takes; a word when there is nothing."""
    done = subprocess.run([BUILD / "dhatd", "plan", "--name", mark], capture_output=True, text=True)
    assert done.returncode == 3 and done.stdout == f"0 processes match --name '{mark}'\n"
    one = named()
    with open("/dev/full", "w") as full:
        assert subprocess.run([BUILD / "dhatd", "plan", "--name", mark], stdout=full).returncode == 10
    done = subprocess.run([BUILD / "dhatd", "plan", "--name", mark], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout == f"1 process matches --name '{mark}'\n  {one.pid:7}  {mark}\n"
    program = shutil.copy(BUILD / "dhatd", public)  # an unprivileged user learns why he sees less
    done = subprocess.run([program, "plan", "--name", mark], capture_output=True, text=True, user=65534, group=65534,
                          extra_groups=[])
    assert done.returncode == 3 and "run it as root (sudo)" in done.stderr


def test_the_end_comes_before_what_begins(daemon, target, tmp_path, mark):
    """SIGINT while processes come and go: nothing more is attached to, and each that was has its file."""
    path = shutil.copy(TARGETS / "waves", tmp_path / mark)
    stop = tmp_path / "stop"
    target("/usr/bin/python3", "-c", "import os, subprocess, time\nmade = []\n"
           f"while not os.path.exists('{stop}'):\n"
           f"    made.append(subprocess.Popen(['{path}'], stdin=-1, stdout=-3)) if len(made) < 150 else None\n"
           "    time.sleep(0.05)\n"
           "for child in made: child.kill()")
    dhatd = daemon("attach", "--name", mark, "--max-targets", "200", "-o", tmp_path / "x.json", wait=False)
    until(lambda: dhatd.err.count("attached to") >= 15, "some to be attached to", 3 * DEADLINE)
    told = dhatd.err.count("\n")
    dhatd.send_signal(signal.SIGINT)
    assert dhatd.wait() == 0, dhatd.err
    stop.touch()
    lines = dhatd.err.splitlines()
    attached = {int(line.split("attached to ")[1].split()[0]) for line in lines if "attached to " in line}
    files = {int(p.name.split(".")[1]) for p in tmp_path.glob("x.*.json")}
    assert files == attached and len(files) >= 15
    assert all(Profile(tmp_path / f"x.{pid}.json").data["pid"] == pid for pid in files)
    # what was under way at the signal may still be told, and no more
    first_end = next(i for i, line in enumerate(lines) if "Total:" in line)
    assert not [line for line in lines[first_end:] if "attached to" in line], (told, lines)


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


CONTAINER, POD = uuid.uuid4().hex + uuid.uuid4().hex, str(uuid.uuid4())


@pytest.fixture
def contained(target, cgroup):
    """A process in a control group as containerd makes it for a pod's container."""
    slice_ = cgroup / f"kubepods-burstable-pod{POD.replace('-', '_')}.slice"
    scope = slice_ / f"cri-containerd-{CONTAINER}.scope"
    scope.mkdir(parents=True)
    process = worker(target)
    (scope / "cgroup.procs").write_text(str(process.pid))
    yield process
    process.proc.kill()
    process.wait()
    for folder in (scope, slice_):
        until(lambda folder=folder: not (folder / "cgroup.procs").read_text(), "the container to be empty")
        folder.rmdir()


@pytest.mark.parametrize("word", [CONTAINER[:12], f"containerd://{CONTAINER}", POD], ids=["short", "scheme", "pod"])
def test_container(word, daemon, ctl, target, contained):
    outside = worker(target)
    daemon("attach", "--container", word)
    until(lambda: attached_pids(ctl) == {contained.pid}, "the container's process to be attached")
    assert outside.pid not in attached_pids(ctl)
    (entry,) = ctl("status", "--json").json()["targets"]
    assert entry["target"]["container"] == {"runtime": "containerd", "id": CONTAINER, "pod": POD}
    for command in ("status", "stats"):
        assert f"(pid {contained.pid}, containerd {CONTAINER[:12]}), watched for" in ctl(command).out.replace("\n  ", " ")


def test_container_in_ps(target, contained):
    outside = worker(target)
    argv = [BUILD / "dhatd", "ps", "--for", "0.1", "--top", "100000"]
    rows = {row["pid"]: row for row in json.loads(subprocess.run([*argv, "--json"], check=True, capture_output=True).stdout)["processes"]}
    assert rows[contained.pid]["container"] == {"runtime": "containerd", "id": CONTAINER, "pod": POD}
    assert rows[outside.pid].get("container") == rows[os.getpid()].get("container")  # whatever all of this runs in
    shown = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    heading = next(line for line in shown.splitlines() if line.startswith("    PID"))
    line = next(line for line in shown.splitlines() if re.match(rf" *{contained.pid} ", line))
    assert line[heading.index("CONTAINER"):].startswith(f"containerd {CONTAINER[:12]} python3")


def test_container_that_is_no_word(daemon):
    dhatd = daemon("attach", "--container", "3f2a", wait=False)
    assert dhatd.wait() == 2
    assert "give the first 12 digits of its ID" in dhatd.err


def test_cgroup_that_is_none(daemon, tmp_path):
    dhatd = daemon("attach", "--cgroup", tmp_path, wait=False)
    assert dhatd.wait() == 2
    assert "no cgroup folder" in dhatd.err
