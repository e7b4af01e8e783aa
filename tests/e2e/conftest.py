"""What every end-to-end test gets: a daemon with its own socket and directory, dhatctl, targets.

def test_leak(daemon, ctl, target):
    leaky = target("leaky", "100")             # build/tests/targets/leaky 100
    leaky.expect("ready")                      # a line of its stdout, within a deadline
    dhatd = daemon("attach", "--pid", leaky.pid)   # returns when it is attached
    leaky.say("go")
    assert ctl("stats", "--json").json()["total_blocks"] == 100
    assert dhatd.stop() == 0                   # SIGTERM and its exit status

Nothing sleeps: until() waits for a condition with a deadline. What a test started is ended with it;
the output of all of it is shown when the test fails.
"""
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import wire

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("DHATD_BUILD", ROOT / "build"))
TARGETS = BUILD / "tests" / "targets"
# long, for a sanitized daemon or a busy machine is slow; a condition that holds is noticed at once anyway
# where allocations are seen, if a test does not say it: make test-sites runs those of exactness with both
SITES = [f"--sites={os.environ['DHATD_SITES']}"] if "DHATD_SITES" in os.environ else []
DEADLINE = 240 if os.environ.get("DHATD_SANITIZED") else 120


# the programs fold their lines at it, and newer versions of pytest-xdist set it
os.environ.pop("COLUMNS", None)


def until(condition, what="the condition", deadline=DEADLINE):
    """Call condition until it returns something true, and return that."""
    end = time.monotonic() + deadline
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline} s for {what}")
        time.sleep(0.01)


def is_listed(socket):
    """Whether the blocks from before the attach are, of all its targets; or it has ended."""
    try:
        with wire.Peer(os.fspath(socket), DEADLINE) as peer:
            peer.send(wire.frame(wire.request(wire.STATUS)))
            answer = peer.response() or {}
    except OSError:
        return True
    return not any(b"still being listed" in part for part in answer.values() if isinstance(part, bytes))


def until_listed(socket):
    """The word of a verdict is that of the whole heap from then on. An attach waits for that for a second only."""
    until(lambda: is_listed(socket), "the blocks from before the attach to be listed")


def stands_still(pid):
    """All threads are stopped, or have ended."""
    try:
        states = [(task / "stat").read_text().rsplit(")", 1)[1].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return False
    return all(state in "TtZX" for state in states)


def come_first():
    """A turn whenever there is something to do, however many want one: above all that are not real-time programs."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:  # some control groups have no share of that
        os.setpriority(os.PRIO_PROCESS, 0, -20)


class Process:
    """A started program. Its stdout and stderr go to files in the test's directory. urgent: what it does in a time is
    asserted, so it does not wait for others on a busy machine; for what takes seconds only."""

    def __init__(self, argv, directory, name, env=None, urgent=False, **popen):
        self.argv = [str(a) for a in argv]
        if urgent:
            popen["preexec_fn"] = come_first
        self.name = name
        self.out_path = directory / f"{name}.out"
        self.err_path = directory / f"{name}.err"
        popen.setdefault("stdin", subprocess.PIPE)
        popen.setdefault("cwd", directory)
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.proc = subprocess.Popen(self.argv, stdout=out, stderr=err,
                                         env=os.environ | (env or {}), **popen)
        self.pid = self.proc.pid

    @property
    def out(self):
        return self.out_path.read_text(errors="replace")

    @property
    def err(self):
        return self.err_path.read_text(errors="replace")

    @property
    def running(self):
        return self.proc.poll() is None

    def _expect(self, stream, pattern, deadline):
        def found():
            ended = not self.running  # asked before reading: nothing is written after it
            match = re.search(pattern, getattr(self, stream), re.M)
            if not match and ended:
                raise AssertionError(f"{self.name} ended with status {self.proc.returncode} before its "
                                     f"std{stream} said {pattern!r}")
            return match
        return until(found, f"{self.name} to say {pattern!r} on std{stream}", deadline)

    def expect(self, pattern, deadline=DEADLINE):
        """Wait until stdout matches; the match."""
        return self._expect("out", pattern, deadline)

    def expect_err(self, pattern, deadline=DEADLINE):
        return self._expect("err", pattern, deadline)

    def say(self, line):
        """A line to its stdin."""
        self.proc.stdin.write(line.encode() + b"\n")
        self.proc.stdin.flush()

    def wait(self, deadline=DEADLINE):
        """Its exit status (negative: the signal that killed it)."""
        return self.proc.wait(deadline)

    def send_signal(self, number):
        """Of SIGSTOP it is waited until its threads stand still: those on other processors go on for a while."""
        self.proc.send_signal(number)
        if number == signal.SIGSTOP:
            until(lambda: stands_still(self.pid), f"{self.name} to stand still")

    def stop(self, number=signal.SIGTERM, deadline=DEADLINE):
        """Ask it to end; its exit status."""
        if self.running:
            self.send_signal(number)
        return self.wait(deadline)

    def kill(self):
        return self.stop(signal.SIGKILL)

    def close(self):
        if self.running:
            self.proc.kill()
            self.proc.wait()
        if self.proc.stdin:
            try:
                self.proc.stdin.close()
            except BrokenPipeError:
                pass

    def logs(self):
        state = "running" if self.running else f"exit status {self.proc.returncode}"
        return f"$ {' '.join(self.argv)}   [pid {self.pid}, {state}]\n" + "".join(
            f"--- {stream} (last 6,000 characters)\n{text[-6000:]}\n"
            for stream, text in (("stdout", self.out), ("stderr", self.err)) if text)


class Answer:
    """What a finished command printed."""

    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)


@pytest.fixture(scope="session", autouse=True)
def rights():
    if os.geteuid() != 0:
        pytest.skip("needs root (BPF and uprobes)")


@pytest.fixture
def started(request):
    """All processes of a test, in order of their start; ended in reverse."""
    processes = []
    request.node.dhat_processes = processes
    yield processes
    for process in reversed(processes):
        process.close()


@pytest.fixture
def public():
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture
def socket_path(tmp_path):
    return tmp_path / "dhatd.sock"


@pytest.fixture
def target(started, tmp_path):
    """target(name, *args): a program of tests/targets, or one with a path; stdin is a pipe."""

    def start(name, *args, **options):
        path = name if "/" in str(name) else TARGETS / name
        process = Process([path, *args], tmp_path, f"{Path(path).name}-{len(started)}", **options)
        started.append(process)
        return process

    return start


@pytest.fixture
def daemon(started, tmp_path, socket_path):
    """daemon(command, *args): build/dhatd with the test's socket; returns when stderr says that it is ready (pattern) and, if
    it attaches, when the blocks from before are listed (listed), unless wait=False."""

    def start(command, *args, wait=True, listed=True, pattern="answering at", socket=None, **options):
        sites = SITES if command in ("attach", "run") else []
        argv = [BUILD / "dhatd", command, "--socket", socket or socket_path, *sites, *args]
        process = Process(argv, tmp_path, f"dhatd-{len(started)}", **options)
        started.append(process)
        if wait:
            process.expect_err(pattern)
        if wait and listed and command == "attach" and "--no-inventory" not in args:
            until_listed(socket or socket_path)
        return process

    return start


@pytest.fixture
def ctl(request, tmp_path, socket_path):
    """ctl(*args): runs dhatctl with the test's socket. A failure fails the test, unless ok=False. After an attach the blocks
    from before are listed, unless listed=False."""
    log = request.node.dhat_commands = []

    def run(*args, ok=True, listed=True, socket=None, deadline=DEADLINE, **options):
        command, *rest = [str(a) for a in args]
        sites = SITES if command == "attach" else []
        argv = [str(BUILD / "dhatctl"), command, "--socket", str(socket or socket_path), *sites, *rest]
        options["env"] = os.environ | options.get("env", {})
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=deadline,
                              stdin=subprocess.DEVNULL, errors="replace", **options)
        log.append(f"$ {' '.join(argv)}   [exit status {done.returncode}]\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        if ok:
            assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        if listed and command == "attach" and "--no-inventory" not in args and done.returncode == 0:
            until_listed(socket or socket_path)
        return Answer(done)

    return run


@pytest.fixture
def tables(ctl):
    """tables(): returns when every object mapped now has its unwind table; stacks are whole from then on."""
    def wait():
        until(lambda: all(t["tables_pending"] == 0 < t["tables_ready"]
                          for t in ctl("status", "--json").json()["targets"]), "the unwind tables")
    return wait


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for process in getattr(item, "dhat_processes", []):
            report.sections.append((process.name, process.logs()))
        if getattr(item, "dhat_commands", None):
            report.sections.append(("dhatctl", "\n".join(item.dhat_commands)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """A hang is a failure with logs, not the end of the run."""
    def late(number, frame):
        raise AssertionError("the test ran for 900 s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(900)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
