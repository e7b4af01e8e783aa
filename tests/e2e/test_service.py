"""dhatd as a service: with few rights, under a service manager."""
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

from conftest import BUILD, ROOT, TARGETS, Process, until, until_listed
from test_http import Curl, url_of

UNITS = ROOT / "daemon/share/systemd"
NOBODY = 65534
MINIMAL = ("bpf", "perfmon", "sys_ptrace", "setuid", "setgid", "kill")


def with_only(*capabilities):
    """A command in front of which root has nothing but these, as by CapabilityBoundingSet= of a unit."""
    listed = ",".join(["-all", *(f"+{c}" for c in capabilities)])
    return "/usr/bin/setpriv", "--bounding-set", listed, "--inh-caps", listed


@pytest.fixture
def limited(started, tmp_path, socket_path):
    """limited(capabilities, command, *args): build/dhatd, with these."""
    def start(capabilities, command, *args):
        process = Process([*with_only(*capabilities), BUILD / "dhatd", command, "--socket", socket_path, *args],
                          tmp_path, f"dhatd-{len(started)}")
        started.append(process)
        return process
    return start


def test_minimal_rights(limited, ctl, target, socket_path):
    """What a unit leaves it is enough. Without CAP_KILL its helpers, which are nobody's, cannot be ended by it."""
    waves = target("waves")
    waves.expect("ready")
    dhatd = limited([c for c in MINIMAL if c != "kill"], "attach", waves.pid)
    dhatd.expect_err("answering at")
    until_listed(socket_path)
    assert ctl("status", "--json").json()["targets"][0]["verdict"]["word"] == "exact"
    assert ctl("stats", "--json").json()
    assert dhatd.stop() == 0
    assert waves.running


@pytest.mark.parametrize("lacks, said", [
    ("setuid", "without CAP_SETUID and CAP_SETGID"),
    ("setgid", "without CAP_SETUID and CAP_SETGID"),
    ("bpf", "may not load BPF programs"),
    ("sys_ptrace", "root without CAP_SYS_PTRACE"),
])
def test_a_right_that_is_missing_is_named(limited, target, lacks, said):
    other = target("waves", user=NOBODY, group=NOBODY, extra_groups=[])
    other.expect("ready")
    dhatd = limited([c for c in MINIMAL if c != lacks], "attach", other.pid)
    assert dhatd.wait() == 4
    assert said in dhatd.err
    assert other.running


JEMALLOC = Path("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2")


def test_a_file_that_cannot_be_read_is_told(limited, ctl, target, tmp_path):
    """An upgrade has replaced a library, and its old file cannot be had without CAP_CHECKPOINT_RESTORE: there may be an
    allocator in it."""
    library = tmp_path / "libjemalloc.so.2"
    shutil.copy(JEMALLOC, library)
    waves = target("waves", env={"LD_PRELOAD": str(library)})
    waves.expect("ready")
    library.unlink()
    dhatd = limited(MINIMAL, "attach", waves.pid)
    dhatd.expect_err("answering at")
    verdict = ctl("status", "--json").json()["targets"][0]["verdict"]
    assert verdict["word"] == "partial", verdict
    assert any("libjemalloc.so.2 could not be read" in reason for reason in verdict["reasons"]), verdict
    assert dhatd.stop(deadline=30) == 0


@pytest.fixture
def open_folder():
    """Where anybody may make a socket; pytest's own folders are root's only."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o777)
        yield Path(path)


def test_ordinary_user_with_two_rights(started, tmp_path, target, open_folder):
    """AmbientCapabilities=CAP_BPF CAP_PERFMON: everything of its own processes."""
    mine = target("waves", user=NOBODY, group=NOBODY, extra_groups=[])
    mine.expect("ready")
    rights = "-all,+bpf,+perfmon"
    dhatd = Process(["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps",
                     rights, "--ambient-caps", rights, BUILD / "dhatd", "attach", "--socket", open_folder / "socket",
                     mine.pid], tmp_path, "dhatd")
    started.append(dhatd)
    dhatd.expect_err("answering at")

    def verdict():
        seen = subprocess.run([BUILD / "dhatctl", "status", "--json", "--socket", open_folder / "socket"],
                              capture_output=True, text=True, check=True)
        return json.loads(seen.stdout)["targets"][0]["verdict"]["word"]
    until(lambda: verdict() == "exact", "the blocks from before to be listed")
    assert dhatd.stop() == 0


# ---- the unit --------------------------------------------------------------------------------------------------

def setting(name):
    """The words of a line of the unit."""
    return re.search(rf"^{name}=(.*)$", (UNITS / "dhatd.service").read_text(), re.M).group(1).split()


def test_units_are_right_and_confined(tmp_path):
    """As systemd judges them: no word that it does not know, and little that may be done."""
    (tmp_path / "dhatd.service.d").mkdir()
    for unit in UNITS.iterdir():
        folder = tmp_path / ("dhatd.service.d" if unit.suffix == ".conf" else "")
        (folder / unit.name).write_text(unit.read_text().replace("/usr/local/sbin/dhatd", str(BUILD / "dhatd")))
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", *tmp_path.glob("dhatd.so*"), tmp_path / "dhatd.service"],
                              capture_output=True, text=True)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    judged = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=42",
                             tmp_path / "dhatd.service"], capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout.splitlines()[-1]


def allowed_calls():
    """What SystemCallFilter= of the unit lets through."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter"], check=True, capture_output=True, text=True,
                            env=os.environ | {"SYSTEMD_COLORS": "0"}).stdout
    groups, group = {}, []
    for line in listed.splitlines():
        if line.startswith("@"):
            group = groups[line.strip()] = []
        elif line.strip() and not line.strip().startswith("#"):
            group.append(line.strip())

    def expand(word):
        return set().union(*map(expand, groups[word])) if word.startswith("@") else {word}
    return set().union(*map(expand, setting("SystemCallFilter")))


def test_the_filter_lets_it_work(started, tmp_path, ctl, target, socket_path):
    """With the unit's rights, on somebody else's process: every system call is one that it may make, but those that
    it tries and does without."""
    heap = target("inventory", "fragmented", user=NOBODY, group=NOBODY, extra_groups=[])
    heap.expect(r"^end$")
    rights = [word[4:].lower() for word in setting("CapabilityBoundingSet")]
    # each call on a line of its own: of a count of them (-c) strace 6.1 now and then dies at the end (SIGSEGV)
    dhatd = Process(["strace", "-f", "-qq", "-s", "0", "-o", tmp_path / "calls", *with_only(*rights),
                     BUILD / "dhatd", "serve", "--socket", socket_path], tmp_path, "dhatd")
    started.append(dhatd)
    dhatd.expect_err("answering at")
    ctl("attach", "--pid", heap.pid)
    ctl("snapshot", "-o", "x.dhat")
    ctl("rss", "--pid", heap.pid)
    status = ctl("status", "--json").json()
    assert status["targets"][0]["verdict"]["word"] == "exact"
    assert not [n for n in status["targets"][0]["notes"] if "cannot" in n]  # the heap from before was read
    ctl("detach", "--pid", heap.pid)
    os.kill(status["daemon_pid"], signal.SIGTERM)
    assert dhatd.wait() == 0
    called = set(re.findall(r"^\d+ +(\w+)\(", (tmp_path / "calls").read_text(), re.M))
    assert {"bpf", "execve", "pread64"} <= called  # it is the whole list
    assert sorted(called - allowed_calls() - {"chroot", "fsopen"}) == []


# ---- what a service manager says, and hears --------------------------------------------------------------------

@pytest.fixture
def manager(tmp_path):
    """The socket at which one listens, and what has come in so far."""
    class Manager:
        path = tmp_path / "notify"
        heard = []

        def listen(self):
            try:
                while True:
                    self.heard.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return self.heard

    manager = Manager()
    manager.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.socket.bind(str(manager.path))
    manager.socket.setblocking(False)
    yield manager
    manager.socket.close()


def test_signs_of_life(daemon, manager):
    dhatd = daemon("serve", env={"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"})
    until(lambda: manager.listen().count("WATCHDOG=1") > 2, "signs of life")
    assert manager.heard[0] == "READY=1"
    assert dhatd.stop() == 0
    assert "STOPPING=1" in manager.listen()


def test_signs_of_life_in_the_middle_of_work(daemon, ctl, named, manager, tmp_path):
    """Attaching, and letting go of what a section named, takes longer than a service manager waits for a sign."""
    for _ in range(3):
        named("working")
    config = tmp_path / "conf"
    config.write_text(f"[watch it]\ncommand = ^{tmp_path}/working$\n")
    dhatd = daemon("serve", "--config", config, "--record", tmp_path / "record",
                   env={"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "100000"})
    until(lambda: "READY=1" in manager.listen(), "it to be ready")
    begun = manager.heard[:manager.heard.index("READY=1")]
    assert "WATCHDOG=1" in begun and any(text.startswith("EXTEND_TIMEOUT_USEC=") for text in begun)
    config.write_text("[watch other]\nname = ^no-such-program$\n")
    dhatd.send_signal(signal.SIGHUP)
    until(lambda: manager.listen().count("READY=1") == 2, "the reload to be over")
    first = next(i for i, text in enumerate(manager.heard) if text.startswith("RELOADING=1"))
    assert "WATCHDOG=1" in manager.heard[first:manager.heard.index("READY=1", first)]
    assert {state for state, _ in states(ctl).values()} == {"detached"}
    assert dhatd.stop() == 0


def test_a_manager_who_does_not_listen(daemon, ctl, manager):
    """What he does not take holds nobody up, neither at the beginning nor at the end."""
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            sender.sendto(b"STATUS=", str(manager.path))
    dhatd = daemon("serve", env={"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "100000"})
    ctl("status")
    assert dhatd.stop() == 0
    assert set(manager.listen()) == {"STATUS="}
    # and what he has to know he is told when he listens again
    with pytest.raises(BlockingIOError):
        while True:
            sender.sendto(b"STATUS=", str(manager.path))
    dhatd = daemon("serve", env={"NOTIFY_SOCKET": str(manager.path)})
    ctl("status")
    until(lambda: "READY=1" in manager.listen(), "it to be told")
    assert dhatd.stop() == 0
    sender.close()


def test_a_socket_that_was_handed_over(started, tmp_path, ctl):
    """Who asks before dhatd is there waits; the file is the manager's, and stays."""
    path = tmp_path / "activated"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen()
    early = subprocess.Popen([BUILD / "dhatctl", "status", "--json", "--socket", path], stdout=subprocess.PIPE)
    words = shlex.join(map(str, [BUILD / "dhatd", "serve", "--socket", path]))
    for _ in range(2):  # and again, after an end
        dhatd = Process(["sh", "-c", f"LISTEN_FDS=1 LISTEN_PID=$$ exec {words}"], tmp_path, "dhatd",
                        preexec_fn=lambda: os.dup2(listening.fileno(), 3), pass_fds=[3])
        started.append(dhatd)
        assert json.loads(early.communicate()[0])["daemon_pid"] == dhatd.pid
        assert dhatd.stop() == 0
        assert path.exists()
        early = subprocess.Popen([BUILD / "dhatctl", "status", "--json", "--socket", path], stdout=subprocess.PIPE)
    early.kill()
    early.communicate()
    listening.close()


# ---- a configuration -------------------------------------------------------------------------------------------

@pytest.fixture
def named(target, tmp_path):
    """named(name): a program of that name, which waits for its stdin."""
    def start(name):
        path = tmp_path / name
        if not path.exists():
            shutil.copy(TARGETS / "waves", path)
        process = target(path)
        process.expect("ready")
        return process
    return start


def states(ctl):
    return {t["target"]["pid"]: (t["target"]["state"], t["target"]["observed_since_unix_ns"])
            for t in ctl("status", "--json").json()["targets"]}


def test_reload_keeps_what_stays(daemon, ctl, named, manager, tmp_path):
    """Sections come, go and change: what one still names is not detached from; a mistake changes nothing."""
    mark = uuid.uuid4().hex[:8]
    first, second, third = (named(f"{letter}{mark}") for letter in "abc")
    config = tmp_path / "conf"

    def write(*sections):
        config.write_text("".join(f"[watch {name}]\nname = ^{regex}{mark}$\n{more}" for name, regex, more in sections))

    def reload(said):
        dhatd.send_signal(signal.SIGHUP)
        until(lambda: manager.listen().count("READY=1") > reload.count and
              any("RELOADING=1" in text for text in manager.heard), "the reload to be over")
        reload.count += 1
        dhatd.expect_err(said)
    reload.count = 1

    write(("one", "a", ""), ("two", "b", ""))
    dhatd = daemon("serve", "--config", config, "--record", tmp_path / "kept",
                   env={"NOTIFY_SOCKET": str(manager.path)})
    before = states(ctl)
    assert {pid: state for pid, (state, _) in before.items()} == {first.pid: "attached", second.pid: "attached"}
    # one changes, two goes over to another section, three comes
    write(("one", "a", "on = exit\n"), ("all", "[bx]", ""), ("three", "c", ""))
    reload(r"^dhatd: \S+ \S+ read .*conf again")
    after = states(ctl)
    assert after[first.pid] == before[first.pid] and after[second.pid] == before[second.pid]
    assert after[third.pid][0] == "attached"
    config.write_text("[watch one]\nnam = x\n")
    reload(r"conf:2: there is no nam; did you mean name\?; all goes on as before")
    assert states(ctl) == after
    write(("one", "a", "on = exit\n"))
    reload("read .*conf again")
    assert [states(ctl)[p.pid][0] for p in (first, second, third)] == ["attached", "detached", "detached"]
    # and back: it was let go by no will of its own
    write(("one", "a", "on = exit\n"), ("two", "b", ""))
    reload("read .*conf again")
    until(lambda: states(ctl)[second.pid][0] == "attached", "it to be attached to again")
    # what has come with the reload counts
    first.say("quit")
    dhatd.expect_err(r"exit: a\w+ \(pid \d+\)")
    assert len(list((tmp_path / "kept").glob("*-exit.dhat"))) == 1
    assert dhatd.stop() == 0


def test_an_end_during_a_reload(daemon, named, tmp_path):
    """They are the section's until their ends have been told, though nothing of them is there to be matched."""
    several = [named("ending") for _ in range(4)]  # their probes go one after the other
    config = tmp_path / "conf"
    config.write_text(f"[watch it]\ncommand = ^{tmp_path}/ending$\non = exit\n")
    dhatd = daemon("serve", "--config", config, "--record", tmp_path / "record")
    until(lambda: dhatd.err.count(" attached to ") == 4, "all to be attached to")
    dhatd.send_signal(signal.SIGSTOP)
    for waves in several:
        waves.say("quit")
        assert waves.wait() == 0
    dhatd.send_signal(signal.SIGHUP)
    dhatd.send_signal(signal.SIGCONT)
    dhatd.expect_err("read .*conf again")
    assert dhatd.stop() == 0
    assert len(re.findall(r"^dhatd: \S+ \S+ exit: ending ", dhatd.err, re.M)) == 4


def test_a_wish_during_a_reload(daemon, named, tmp_path):
    """Profiles that are wanted now are not kept when the reload has attached to all that it lacked."""
    named("wanted")
    config = tmp_path / "conf"
    config.write_text(f"[watch it]\ncommand = ^{tmp_path}/wanted$\n")
    dhatd = daemon("serve", "--config", config, "--record", tmp_path / "record")
    dhatd.expect_err(" attached to ")
    dhatd.send_signal(signal.SIGSTOP)
    for _ in range(4):
        named("wanted")
    config.write_text(f"[watch it]\ncommand = ^{tmp_path}/wanted$\nevery = 1h\n")
    dhatd.send_signal(signal.SIGHUP)
    dhatd.send_signal(signal.SIGUSR2)
    dhatd.send_signal(signal.SIGCONT)
    dhatd.expect_err("read .*conf again")
    dhatd.expect_err("SIGUSR2: wanted")
    assert dhatd.err.index("SIGUSR2: wanted") < dhatd.err.index("conf again")
    assert dhatd.stop() == 0


def test_a_service_that_ends_loses_nothing(daemon, ctl, named, tmp_path, socket_path):
    """By an upgrade, say: what it had is in a file, whole; the next one begins anew."""
    waves = named("kept")
    config = tmp_path / "conf"
    config.write_text(f"[watch it]\ncommand = ^{tmp_path}/kept$\n")
    dhatd = daemon("serve", "--config", config, "--record", tmp_path / "record")
    until(lambda: states(ctl).get(waves.pid, [None])[0] == "attached", "it to be attached to")
    until_listed(socket_path)
    waves.say("alloc 500 100")
    waves.expect('total_blocks":500')
    assert ctl("status", "--json").json()["targets"][0]["verdict"]["word"] == "exact"
    assert dhatd.stop() == 0
    (path,) = (tmp_path / "record").iterdir()
    assert re.fullmatch(rf"kept-{waves.pid}-\d{{8}}T\d{{6}}Z-stop\.dhat", path.name) and str(path) in dhatd.err
    profile = json.loads(subprocess.run([BUILD / "dhatctl", "stats", "--json", path], capture_output=True, check=True).stdout)
    assert profile["verdict"]["word"] == "exact" and int(profile["totals"]["total_blocks"]) == 500
    assert waves.running
    daemon("serve", "--config", config, "--record", tmp_path / "record")
    until(lambda: states(ctl).get(waves.pid, [None])[0] == "attached", "it to be attached to again")


def test_each_program_of_a_process_is_kept(daemon, ctl, target, tmp_path):
    """One that executes itself anew, as proxies do to take a new configuration: same name, same number, same second."""
    shell = target("/bin/sh", "-c", "echo first; read line; exec /bin/sh -c 'echo second; read line'")
    shell.expect("first")
    dhatd = daemon("serve", "--record", tmp_path / "record")
    ctl("attach", "--pid", shell.pid, "--no-inventory", "--follow-exec")
    shell.say("go")
    until(lambda: [t["target"]["state"] for t in ctl("status", "--json").json()["targets"]] == ["replaced", "attached"],
          "the second to be attached to")
    assert dhatd.stop() == 0
    kept = sorted((tmp_path / "record").iterdir())
    words = [json.loads(subprocess.run([BUILD / "dhatctl", "stats", "--json", path], capture_output=True, check=True).stdout)["target"]["state"]
             for path in kept]
    assert words == ["replaced", "attached"], kept


HOLD = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.ptrace(0x4206, int(sys.argv[1]), 0, 0) == 0  # PTRACE_SEIZE: it runs on
print("holds", flush=True)
sys.stdin.read()
"""


def test_what_was_collected_is_safe_before_a_debugger_is_waited_for(daemon, ctl, named, target, manager, tmp_path):
    """Of each process, whatever --keep says, in whichever state: dhatd may be killed while it waits."""
    held, other, ended = (named("kept") for _ in range(3))
    dhatd = daemon("serve", "--record", tmp_path / "record", "--keep", "1", "--max-memory", "64M", env={"NOTIFY_SOCKET": str(manager.path)})
    for process in held, other, ended:
        ctl("attach", "--pid", process.pid, "--no-inventory", *(["--max-memory", "96M"] if process is other else []))
    assert [t["memory_limit_bytes"] >> 20 for t in ctl("status", "--json").json()["targets"]] == [64, 96, 64]
    ended.say("quit")
    until(lambda: states(ctl)[ended.pid][0] == "exited", "its end to be known")
    debugger = target("/usr/bin/python3", "-c", HOLD, held.pid)
    debugger.expect("holds")
    dhatd.send_signal(signal.SIGTERM)
    dhatd.expect_err(rf"debugs process {held.pid}: .*waiting for it to end")
    files = {int(path.name.split("-")[1]): path for path in (tmp_path / "record").glob("kept-*-stop.dhat")}
    assert set(files) == {held.pid, other.pid, ended.pid} and dhatd.running
    assert any(text.startswith("EXTEND_TIMEOUT_USEC=") for text in manager.listen())
    debugger.proc.stdin.close()
    assert dhatd.wait() == 0
    for path in files.values():
        subprocess.run([BUILD / "dhatctl", "stats", path], capture_output=True, check=True)


def test_each_section_has_its_own_bound(daemon, ctl, named, tmp_path):
    """What one has takes nothing from another. Of those that are too many the first are taken, at the start and after a
    reload, and another when one of them ends."""
    several, many = [named("several") for _ in range(2)], [named("many") for _ in range(2)]
    config = tmp_path / "conf"

    def write(more):
        config.write_text(f"[watch several]\ncommand = ^{tmp_path}/several$\nmax-targets = 2\n"
                          f"[watch many]\ncommand = ^{tmp_path}/many$\nmax-targets = 1\n{more}")

    def attached():
        return [pid for pid, (state, _) in states(ctl).items() if state == "attached"]
    write("")
    dhatd = daemon("serve", "--config", config, "--record", tmp_path / "record", "--listen", "127.0.0.1:0", pattern="by HTTP")
    expected = sorted(process.pid for process in several + many[:1])
    assert sorted(attached()) == expected
    assert f"[watch many] process {many[1].pid} matches, too, but 1 are watched already: it is left alone until one of them ends" in dhatd.err
    write("on = exit\n")
    dhatd.send_signal(signal.SIGHUP)
    dhatd.expect_err("read .*conf again")
    assert sorted(attached()) == expected
    page = Curl(url_of(dhatd) + "metrics").text
    assert 'dhatd_watch_processes{watch="several",state="attached"} 2\n' in page
    assert 'dhatd_watch_processes{watch="several",state="left_out"} 0\n' in page
    assert 'dhatd_watch_processes{watch="many",state="attached"} 1\n' in page
    assert 'dhatd_watch_processes{watch="many",state="left_out"} 1\n' in page
    assert "[watch many] leaves out 1 process that matches, too: max-targets (1) is reached" in ctl("status").out
    many[0].say("quit")
    until(lambda: many[1].pid in attached(), "the other to be attached to")
    assert len(attached()) == 3


def test_a_mistake_at_the_start(daemon, tmp_path):
    (tmp_path / "conf").write_text("[watch one]\non = exit\n")
    dhatd = daemon("serve", "--config", tmp_path / "conf", wait=False)
    assert dhatd.wait() == 2
    assert "[watch one] does not say which processes" in dhatd.err


def examples():
    """Configurations that are shown: the file that is installed, its lines without the mark of a comment, and README's."""
    installed = (ROOT / "daemon/share/dhatd.conf").read_text()
    yield "\n".join(line[1:] for line in installed.splitlines() if re.match(r"#(\[|[a-z-]+ = )", line))
    readme = (ROOT / "README.md").read_text()
    for block in re.findall(r"^    \$ cat /etc/dhatd\.conf\n((?:    .+\n)+)", readme, re.M):
        yield block.replace("    ", "")


def test_what_is_shown_is_right(daemon, tmp_path):
    for number, text in enumerate(examples()):
        assert text.startswith("[watch nginx]\n") and len(text.splitlines()) >= 5
        (tmp_path / "conf").write_text(text.replace("nginx.service", "no-such.service"))
        dhatd = daemon("serve", "--config", tmp_path / "conf", "--record", tmp_path / "kept")
        assert dhatd.stop() == 0 and "conf:" not in dhatd.err
    assert number == 2


def test_unit(daemon, ctl, named):
    """By the control group that systemd would have made for it."""
    top = next(t for t in map(Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup"))
               if (t / "cgroup.procs").exists())
    unit = f"x{uuid.uuid4().hex[:8]}.service"
    group = top / unit
    group.mkdir()
    try:
        inside, outside = named("inside"), named("outside")
        (group / "cgroup.procs").write_text(str(inside.pid))
        daemon("attach", "--unit", unit.removesuffix(".service"))
        assert set(states(ctl)) == {inside.pid}
        inside.say("quit")
        inside.wait()
        assert outside.running
    finally:
        until(lambda: not (group / "cgroup.procs").read_text(), "the group to be empty")
        group.rmdir()
