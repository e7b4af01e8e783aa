"""make test-service: the units as `make install` puts them there, under a real systemd (booted), on a process of another user.

Not part of `make test`: it takes half a minute, and a kernel with overlayfs and control groups of version 2.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from conftest import BUILD, TARGETS, Process, until

HERE = Path(__file__).resolve().parent
SHARE = "/usr/local/share/dhatd"
VICTIM = """[Service]
User=nobody
StandardOutput=file:/run/said
ExecStart=/bin/sh -c 'exec /usr/local/bin/dhatd-test-waves <>/run/orders'
"""
CONFIG = """[watch victim]
unit = victim.service
on = live>1M
"""


class Booted:
    """A system with a systemd of its own."""

    def __init__(self, directory):
        self.boot = Process([HERE / "booted", BUILD / "installed", TARGETS / "waves", directory], directory, "booted")
        self.group = next(Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()
                          if line.split()[2] == "cgroup2") / f"dhatd-test.{self.boot.pid}"
        try:
            self.enter()
        except BaseException:
            self.close()
            raise

    def enter(self):
        self.first = until(self.find_first, "systemd to start")
        until(lambda: self.run("systemctl", "is-active", "dhatd-test.target", ok=False).stdout == "active\n", "the boot")

    def find_first(self):
        """Its first process, as it is called here, once it is systemd."""
        assert self.boot.running, self.boot.logs()
        children = Path(f"/proc/{self.boot.pid}/task/{self.boot.pid}/children").read_text().split()
        try:
            return children and os.readlink(f"/proc/{children[0]}/exe").endswith("/systemd") and children[0]
        except OSError:
            return None  # it has just ended

    def run(self, *argv, ok=True, text=None):
        done = subprocess.run(["nsenter", "-t", self.first, "-m", "-p", "-u", "-i", "-n", "-C", "--", *map(str, argv)],
                              input=text, capture_output=True, text=True, timeout=120, cwd="/")
        assert not ok or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}{self.journal()}"
        return done

    def write(self, path, text):
        self.run("sh", "-c", 'mkdir -p "$(dirname "$0")" && cat >"$0"', path, text=text)

    def properties(self, *names, unit="dhatd.service"):
        shown = self.run("systemctl", "show", unit, "-p", ",".join(names)).stdout
        return dict(line.split("=", 1) for line in shown.splitlines())

    def dhatd(self):
        return int(self.properties("MainPID")["MainPID"])

    def status(self):
        return json.loads(self.run("dhatctl", "status", "--json").stdout)

    def states(self):
        return {t["target"]["pid"]: t["target"]["state"] for t in self.status()["targets"]}

    def journal(self):
        """(level, what) of each line of dhatd's."""
        lines = subprocess.run(["nsenter", "-t", self.first, "-m", "-p", "-C", "--", "journalctl", "-o", "json", "-u",
                                "dhatd.service"], capture_output=True, text=True, cwd="/").stdout.splitlines()
        return [(int(entry["PRIORITY"]), entry["MESSAGE"]) for entry in map(json.loads, lines)
                if entry.get("SYSLOG_IDENTIFIER") == "dhatd"]

    def close(self):
        self.boot.close()  # and all that is in there

        def remove():
            for folder, _, _ in os.walk(self.group, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    return False
            return True
        until(remove, "the control groups to be empty")


@pytest.fixture(scope="module")
def system():
    with tempfile.TemporaryDirectory() as directory:
        system = Booted(Path(directory))
        try:
            yield system
        finally:
            system.close()


@pytest.fixture
def victim(system):
    """A process of another user, and its pid. After the test it has to be there, and its code as it was."""
    class Victim:
        def order(self, line):
            """To its stdin."""
            system.run("sh", "-c", 'echo "$0" >/run/orders', line)

    system.run("sh", "-c", "[ -p /run/orders ] || mkfifo -m 666 /run/orders; : >/run/said; chmod 666 /run/said")
    system.write("/etc/systemd/system/victim.service", VICTIM)
    system.write("/etc/dhatd.conf", CONFIG)
    system.run("rm", "-rf", "/etc/systemd/system/dhatd.service.d")
    system.run("systemctl", "daemon-reload")
    system.run("systemctl", "restart", "victim")
    until(lambda: "ready" in system.run("cat", "/run/said").stdout, "the process to be ready")
    victim = Victim()
    victim.pid = int(system.properties("MainPID", unit="victim.service")["MainPID"])
    yield victim
    system.run("systemctl", "stop", "dhatd.service", "dhatd.socket")
    assert int(system.properties("MainPID", unit="victim.service")["MainPID"]) == victim.pid, "the process has died"
    # without CAP_SYS_ADMIN the kernel takes them out one by one, after dhatd's end if it is busy
    until(lambda: re.search("no breakpoint", system.run("dhatd", "repair", victim.pid).stdout), "its code to be as before")
    system.run("systemctl", "stop", "victim")
    system.run("systemctl", "reset-failed", ok=False)


def drop_in(system, name, text):
    system.write(f"/etc/systemd/system/dhatd.service.d/{name}.conf", text)
    system.run("systemctl", "daemon-reload")


def test_started_watched_kept_and_stopped(system, victim):
    """Type=notify: started means that what the configuration names is watched, exactly, with the heap from before. What a
    trigger keeps is in the unit's folder, and each line of the journal has its level."""
    began = time.monotonic()
    system.run("systemctl", "start", "dhatd")
    shown = system.properties("ActiveState", "SubState", "NRestarts", "Result")
    assert shown == {"ActiveState": "active", "SubState": "running", "NRestarts": "0", "Result": "success"}
    status = until(lambda: next((t for t in system.status()["targets"] if t["verdict"]["word"] == "exact"), None),
                   "it to be attached to, and the blocks from before to be listed")
    assert status["target"]["pid"] == victim.pid
    assert not [note for note in status["notes"] if "Permission" in note or "rights" in note]
    victim.order("alloc 2000 1000")
    kept = until(lambda: system.run("sh", "-c", "ls /var/lib/dhatd").stdout, "the profile to be kept").split()
    assert len(kept) == 1 and re.fullmatch(rf"dhatd-test-waves-{victim.pid}-\S+-live\.dhat", kept[0])
    system.run("systemctl", "kill", "--kill-whom=main", "--signal=USR2", "dhatd")
    until(lambda: any("SIGUSR2" in text for _, text in system.journal()), "a profile to be kept for the signal")
    for folder in ("/var/lib/dhatd", "/var/cache/dhatd"):
        assert system.run("stat", "-c", "%a %U", folder).stdout == "700 root\n"
    assert system.run("sh", "-c", "ls /var/cache/dhatd").stdout  # tables are kept
    assert "waves" in system.run("dhatctl", "stats").stdout  # names: the helper has become nobody
    system.run("systemctl", "stop", "dhatd.service")
    assert system.properties("Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    assert time.monotonic() - began < 60
    journal = system.journal()
    for wanted, said in ((6, f"attached to {victim.pid} "), (4, "live>1M: "), (4, "SIGUSR2: ")):
        assert [level for level, text in journal if said in text] == [wanted], journal
    assert not [text for level, text in journal if level < 4]


def test_the_socket_starts_it(system, victim):
    """Who asks is answered by a dhatd that was not there; and after its end by the next."""
    system.run("systemctl", "start", "dhatd.socket")
    for _ in range(2):
        assert system.properties("ActiveState")["ActiveState"] == "inactive"
        assert system.status()["daemon_pid"] == system.dhatd()
        until(lambda: system.states().get(victim.pid) == "attached", "it to be attached to")
        system.run("systemctl", "stop", "dhatd.service")


def test_reload_lets_go_of_nothing_that_stays(system, victim):
    system.run("systemctl", "start", "dhatd")
    before = until(lambda: system.status()["targets"], "it to be attached to")[0]
    pid = system.dhatd()
    system.write("/etc/dhatd.conf", CONFIG + "on = exit\n[watch other]\nname = ^sleep$\n")
    system.run("systemctl", "reload", "dhatd")
    until(lambda: any("again" in text for _, text in system.journal()), "it to be read again")
    after = system.status()["targets"][0]
    began = "observed_since_unix_ns"
    assert system.dhatd() == pid and after["target"][began] == before["target"][began]
    system.write("/etc/dhatd.conf", CONFIG + "om = exit\n")
    system.run("systemctl", "reload", "dhatd")
    until(lambda: any(level == 3 and "there is no om" in text for level, text in system.journal()), "the mistake to be said")
    assert system.states() == {victim.pid: "attached"}


def test_the_watchdog_ends_one_that_hangs(system, victim):
    """And systemd starts another, which watches the same."""
    drop_in(system, "quick", "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n")
    system.run("systemctl", "start", "dhatd")
    first = system.dhatd()
    system.run("kill", "-STOP", first)
    until(lambda: system.properties("NRestarts", "SubState") == {"NRestarts": "1", "SubState": "running"}, "another one")
    assert system.dhatd() != first
    until(lambda: system.states().get(victim.pid) == "attached", "it to be attached to again")
    time_of_two = time.monotonic() + 5  # longer than two intervals: signs of life come
    until(lambda: time.monotonic() > time_of_two, "some seconds to pass")
    assert system.properties("NRestarts")["NRestarts"] == "1"


def test_killed_and_started_again(system, victim):
    drop_in(system, "quick", "[Service]\nRestartSec=100ms\n")
    system.run("systemctl", "start", "dhatd")
    until(lambda: system.states().get(victim.pid) == "attached", "it to be attached to")
    system.run("kill", "-KILL", system.dhatd())
    until(lambda: system.properties("NRestarts", "SubState") == {"NRestarts": "1", "SubState": "running"}, "another one")
    status = until(lambda: next((t for t in system.status()["targets"]), None), "it to be attached to again")
    assert status["target"]["pid"] == victim.pid and status["target"]["state"] == "attached"


@pytest.fixture
def engine(system):
    """One for profiles, on the system's own network; profiles() is what has arrived."""
    with tempfile.TemporaryDirectory() as directory:
        process = Process(["nsenter", "-t", system.first, "-n", "--", sys.executable, HERE / "pushed.py"], Path(directory), "engine")

        class Engine:
            url = process.expect("^http://.*")[0]

            def profiles(self):
                return [json.loads(line) for line in process.out.splitlines()[1:]]
        yield Engine()
        process.close()


def test_a_file_lets_it_push(system, victim, engine):
    """Without it what stands in the way is told, and what is to be done; with it the profiles arrive."""
    system.write("/etc/dhatd.conf", CONFIG + f"push = {engine.url}\npush-every = 1s\n")
    system.run("systemctl", "start", "dhatd")

    def trouble():
        return [push["trouble"] for push in system.status()["pushes"]]
    until(lambda: any("share/dhatd/systemd/push.conf allows it" in text for text in trouble()), "a push to fail")
    assert not engine.profiles()
    system.run("install", "-D", "-m", "644", f"{SHARE}/systemd/push.conf", "/etc/systemd/system/dhatd.service.d/push.conf")
    system.run("systemctl", "daemon-reload")
    system.run("systemctl", "restart", "dhatd")
    first = until(engine.profiles, "a profile to arrive")[0]
    assert first["service_name"] == "dhatd-test-waves" and first["pid"] == str(victim.pid)
    until(lambda: trouble() == [""], "the trouble to be over")


def test_a_file_switches_http_on(system, victim):
    """The one that is shipped, as it is. Root is answered, another user is not: the kernel was asked who it is."""
    system.run("install", "-D", "-m", "644", f"{SHARE}/systemd/listen.conf", "/etc/systemd/system/dhatd.service.d/listen.conf")
    system.run("systemctl", "daemon-reload")
    system.run("systemctl", "start", "dhatd")
    until(lambda: system.states().get(victim.pid) == "attached", "it to be attached to")
    ask = ("curl", "-s", "--max-time", "60", "-w", "%{http_code}", "http://127.0.0.1:9664/metrics")
    # what is live is told once the blocks from before the attach are listed: before, it would seem to grow
    until(lambda: f'dhatd_heap_live_bytes{{program="dhatd-test-waves",pid="{victim.pid}"}}' in system.run(*ask).stdout,
          "its live bytes to be told")
    page = system.run(*ask).stdout
    assert page.endswith("\n200") and f'dhatd_target_info{{program="dhatd-test-waves",pid="{victim.pid}"' in page
    assert system.run("setpriv", "--reuid=nobody", "--clear-groups", *ask).stdout.endswith(("401", "403"))
