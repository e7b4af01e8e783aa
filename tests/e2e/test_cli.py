"""dhatctl on a live daemon: every form of a profile says the same, and who may ask."""
import json
import os
import pwd
import re
import shutil
import stat
import subprocess

import pytest

from conftest import BUILD, DEADLINE, until

BLOCKS = 1000
QUIET = f"""
import sys
print("ready", flush=True)
for line in sys.stdin:
    kept = [bytearray(b"x" * 5000) for _ in range({BLOCKS})]
    print("taken", flush=True)
"""
# the same, and nothing of it is anybody else's: a Python is partial
QUIET_AND_EXACT = f"""
BEGIN {{ print "ready"; fflush() }}
{{ for (i = 0; i < {BLOCKS}; i++) kept[NR "," i] = sprintf("%5000s", i); print "taken"; fflush() }}
"""


@pytest.fixture
def quiet(target):
    """A program that allocates when told to, and is still else."""
    program = target("/usr/bin/python3", "-c", QUIET)
    program.expect("ready")
    return program


def sums(points, keys):
    return [sum(int(p[k]) for p in points) for k in keys]


def test_every_form_of_a_profile_agrees(quiet, daemon, ctl, tables, tmp_path):
    daemon("attach", "--pid", quiet.pid)
    tables()
    quiet.say("go")
    quiet.expect("taken")
    kept = tmp_path / "x.dhat"
    ctl("snapshot", "-o", kept)
    ctl("snapshot", "-o", tmp_path / "x.json")
    ctl("export", kept, "-o", tmp_path / "y.json")
    live = ctl("stats", "--json", "--top", "1000000").json()
    offline = ctl("stats", "--json", "--top", "1000000", kept).json()
    direct = json.loads((tmp_path / "x.json").read_text())
    exported = json.loads((tmp_path / "y.json").read_text())
    for path in (kept, tmp_path / "x.json", tmp_path / "y.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # nothing but the moment differs
    assert direct["pps"] and direct["ftbl"] == exported["ftbl"]
    without_time = [{k: v for k, v in p.items() if k != "tl"} for p in direct["pps"]]
    assert without_time == [{k: v for k, v in p.items() if k != "tl"} for p in exported["pps"]]
    assert json.loads(ctl("export", kept).out) == exported
    for answer in (live, offline):
        totals = answer["totals"]
        assert sums(direct["pps"], ("tb", "tbk", "gb", "gbk", "eb", "ebk")) == [
            int(totals[k]) for k in ("total_bytes", "total_blocks", "peak_bytes", "peak_blocks",
                                     "live_bytes", "live_blocks")]
        # blocks from before the attach have no part in the ranking, and sums of their own
        assert len(answer["points"]) == len([p for p in direct["pps"] if p["eb"] and p["tbk"]])
        [before] = [p for p in direct["pps"] if p["ebk"] and not p["tbk"]]
        assert [answer["before_attach"][k] for k in ("live_bytes", "live_blocks", "peak_bytes", "peak_blocks")] == [
            before[k] for k in ("eb", "ebk", "gb", "gbk")]
        assert answer["before_attach"]["live_bytes"] + sum(int(p["live_bytes"]) for p in answer["points"]) == int(
            answer["totals"]["live_bytes"])
    assert live["totals"]["live_bytes"] >= BLOCKS * 5000
    # what a person sees first
    text = ctl("stats").out
    assert "[allocated before attach]" not in text.partition("\nNote:")[0]
    assert re.search(r"^  of these +[\d,]+ bytes in +[\d,]+ blocks .* from before the attach$", text, re.M)
    assert re.search(r"^Most of what is live: .*\(\d[\d,]+ bytes\) in 1,0\d\d blocks", text, re.M)
    assert "\x1b" not in text


def test_insisting_on_exact_numbers(target, daemon, ctl, tmp_path):
    quiet = target("/usr/bin/gawk", QUIET_AND_EXACT)
    quiet.expect("ready")
    dhatd = daemon("attach", "--pid", quiet.pid)
    ctl("snapshot", "--exact", "-o", tmp_path / "good.json")
    assert json.loads((tmp_path / "good.json").read_text())["dhatd"]["exact"] is True
    assert dhatd.stop() == 0
    # the smallest ring there is, and more allocations at once than it holds
    daemon("attach", "--pid", quiet.pid, "--ring-size", "4096")

    def inexact():
        quiet.say("go")
        return not ctl("stats", "--json").json()["verdict"]["exact"]

    until(inexact, "the small ring to overflow")
    answer = ctl("snapshot", "--exact", "-o", tmp_path / "bad.json", ok=False)
    assert answer.status == 13
    assert "not exact" in answer.err
    assert not (tmp_path / "bad.json").exists()
    assert ctl("stats").out.startswith("INEXACT: ")
    assert "INEXACT: " in ctl("status").out
    ctl("snapshot", "-o", tmp_path / "bad.json")
    block = json.loads((tmp_path / "bad.json").read_text())["dhatd"]
    assert block["exact"] is False and block["reasons"]
    assert any(c["is_loss"] and int(c["value"]) for c in block["counters"])


def test_scripts_are_programs(target, daemon, ctl):
    """Two of one script are one; another script of the same interpreter is another program."""
    processes = [target("/usr/bin/python3", "-c", code) for code in (QUIET, QUIET, QUIET + "\n# another")]
    for process in processes:
        process.expect("ready")
    daemon("attach", *(process.pid for process in processes), "--no-inventory", pattern="answering")
    assert sorted(said.get("processes", 1) for said in ctl("explain", "--all", "--json").json()) == [1, 2]


def test_several_targets(quiet, target, daemon, ctl):
    other = target("/usr/bin/python3", "-c", QUIET)
    other.expect("ready")
    daemon("serve")
    assert ctl("stats", ok=False).status == 3
    assert "attached" in ctl("attach", quiet.pid).out
    ctl("attach", "--pid", other.pid)
    assert ctl("attach", other.pid, ok=False).status == 8
    for command in ("stats", "rss", "snapshot"):
        answer = ctl(command, ok=False)
        assert answer.status == 2
        for program in (quiet, other):  # by name and pid
            assert re.search(rf"^dhatctl: +{program.pid}  python3 +[\d.]+ [KMG]iB live$", answer.err, re.M), answer.err
        assert f"say which, as in `dhatctl {command} {quiet.pid}'" in answer.err
    # both as one
    assert re.match(r"python3, 2 processes \(pid \d+, \d+\), watched for ", ctl("explain", "--all").out)
    assert [(said["processes"], said["version"]) for said in ctl("explain", "--all", "--json").json()] == [(2, 1)]
    assert "python3, 2 processes" in ctl("suspects", "--all").out
    assert [said["by"] for said in ctl("suspects", "--all", "--json").json()] == ["line"]
    assert ctl("suspects", "--all", quiet.pid, ok=False).status == 2
    assert "--all puts those of one program together" in ctl("explain", ok=False).err
    assert f"as in `dhatctl diff deploy b {quiet.pid}'" in ctl("diff", "deploy", "b", ok=False).err
    assert ctl("stats", other.pid, "--json").json()["target"]["pid"] == other.pid
    assert ctl("rss", other.pid).out.startswith(f"python3 (pid {other.pid}), watched for ")
    assert ctl("rss", "--json", other.pid).json()["target"]["pid"] == other.pid
    assert ctl("status", other.pid).out.count("(pid ") == 2  # dhatd's and this one's
    status = ctl("status", "--json").json()
    assert sorted(t["target"]["pid"] for t in status["targets"]) == sorted([quiet.pid, other.pid])
    assert status["daemon_rss_bytes"] > 0
    one = ctl("status", "--json", "--pid", other.pid).json()
    assert [t["target"]["pid"] for t in one["targets"]] == [other.pid]
    assert all(p["instruction"] and p["link"] for p in one["targets"][0]["probes"])
    ctl("detach", quiet.pid)
    # the only one that is still attached
    assert ctl("stats", "--json").json()["target"]["pid"] == other.pid
    assert ctl("stats", "--json", "--pid", quiet.pid).json()["target"]["state"] == "detached"


def test_who_started_it_by_sudo_may_ask(quiet, daemon, public):
    nobody = pwd.getpwnam("nobody")
    socket = public / "sudo.sock"
    dhatctl = shutil.copy(BUILD / "dhatctl", public)  # the checkout may be for root only

    def ask(uid):
        return subprocess.run([dhatctl, "status", "--socket", socket], user=uid, group=nobody.pw_gid,
                              extra_groups=[], capture_output=True, text=True, timeout=DEADLINE).returncode

    daemon("attach", "--pid", quiet.pid, socket=socket, env={"SUDO_UID": str(nobody.pw_uid)})
    assert ask(nobody.pw_uid) == 0
    assert ask(nobody.pw_uid - 1) == 4
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600


def test_half_an_answer_is_none(quiet, daemon, ctl, tmp_path):
    """Whatever prints: where the disk is full the exit status says so, and a file is named."""
    daemon("attach", "--pid", quiet.pid)
    ctl("snapshot", "-o", tmp_path / "x.dhat")
    commands = [["stats"], ["stats", "--json"], ["top", "--batch", "--count", "1"], ["top", "--json", "--count", "1"],
                ["stats", tmp_path / "x.dhat"], ["status"], ["status", "--json"],
                ["rss"], ["rss", "--json"], ["plan", quiet.pid], ["stats", "--help"], ["stats", "--usage"],
                ["export", tmp_path / "x.dhat"], ["export", tmp_path / "x.dhat", "-o", "/dev/null"],
                ["snapshot", "-o", "-"], ["snapshot", "-o", "-", "--format", "dhat"], ["snapshot", "-o", "/dev/null"],
                ["detach", quiet.pid]]
    for command in commands:
        with open("/dev/full", "w") as full:
            done = subprocess.run([BUILD / "dhatctl", *map(str, command)], stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=DEADLINE, env=os.environ | {"DHATD_SOCKET": str(tmp_path / "dhatd.sock")})
        assert done.returncode == 10, (command, done)
        assert "cannot write the standard output: No space left on device" in done.stderr, (command, done)
    for command in (["--help"], ["help"], ["--version"]):
        with open("/dev/full", "w") as full:
            assert subprocess.run([BUILD / "dhatctl", *command], stdout=full, stderr=subprocess.DEVNULL).returncode == 10
    # dhatd's own, which need no dhatd that runs
    for command in (["--help"], ["--version"], ["attach", "--help"], ["ps", "--for", "0.1"], ["repair", quiet.pid],
                    ["plan", quiet.pid], ["plan", quiet.pid, "--json"], ["plan", "--name", "^python3"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([BUILD / "dhatd", *map(str, command)], stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=DEADLINE)
        assert done.returncode == 10, (command, done)
        assert "cannot write the standard output: No space left on device" in done.stderr, (command, done)
    for name in ("a.dhat", "a.json"):
        full = ctl("snapshot", "-o", "/dev/full", "--format", name[2:], ok=False)
        assert full.status == 10 and "cannot write /dev/full: No space left on device" in full.err


def test_a_small_disk_names_the_file(quiet, daemon, ctl, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "small", small], check=True)
    try:
        daemon("attach", "--pid", quiet.pid)
        for name in ("a.dhat", "a.json"):
            full = ctl("snapshot", "-o", small / name, ok=False)
            assert full.status == 10 and f"cannot write {small / name}: No space left on device" in full.err
            assert list(small.iterdir()) == []
        with open(small / "s.txt", "w") as file:
            done = subprocess.run([BUILD / "dhatctl", "stats", "--socket", tmp_path / "dhatd.sock", "--json"], stdout=file,
                                  stderr=subprocess.PIPE, text=True, timeout=DEADLINE)
        assert done.returncode == 10 and "cut short" in done.stderr, done
    finally:
        subprocess.run(["umount", small], check=True)


def test_files_belong_to_who_typed_sudo(quiet, daemon, ctl, tmp_path):
    daemon("attach", "--pid", quiet.pid)
    env = {"SUDO_UID": "65534", "SUDO_GID": "65533"}
    for name in ("x.dhat", "x.json"):
        ctl("snapshot", "-o", tmp_path / name, env=env)
    ctl("export", tmp_path / "x.dhat", "-o", tmp_path / "y.json", env=env)
    for name in ("x.dhat", "x.json", "y.json"):
        found = (tmp_path / name).stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65533, 0o600), name


def test_one_line_over_many_stacks(target, daemon, ctl, tables, tmp_path):
    """One line of code that a thousand stacks lead to is one line of the answer."""
    program = target("many_stacks")
    program.expect("ready")
    daemon("attach", "--pid", program.pid)
    tables()
    program.say("alloc 1000")
    program.expect("total_blocks")
    text = ctl("stats").out
    assert re.search(r"^Most of what is live: 15\.6 KiB \(16,000 bytes\) in 1,000 blocks from 1,000 stacks, \d+\.\d%.*\n"
                     r"  from walk at targets/many_stacks\.c:\d+$", text, re.M), text
    apart = ctl("stats", "--depth", "0").out
    assert re.search("^Hint: 1,000 stacks lead to the line at the top: --by line lists sums", apart, re.M), apart
    assert "lead to the line" not in ctl("stats", "--by", "line").out + ctl("stats", "--depth", "2").out
    by_line = ctl("stats", "--by", "line", "--json").json()["points"][0]
    assert [by_line[k] for k in ("live_bytes", "live_blocks", "merged_points", "line")] == [16000, 1000, 1000, "walk"]
    top = ctl("stats", "--depth", "1", "--json").json()["points"][0]
    assert [top[k] for k in ("live_bytes", "merged_points")] == [16000, 1000]
    gone = ctl("stats", "--exclude", "^walk$", "--json").json()
    [left_out] = gone["left_out"]
    assert [left_out[k] for k in ("pattern", "live_bytes", "live_blocks", "stacks")] == ["^walk$", 16000, 1000, 1000]
    assert not any(p["live_bytes"] >= 16 and p["merged_points"] == 1000 for p in gone["points"])


def test_all_of_one_program(target, daemon, ctl, tmp_path):
    """Workers of one program are one answer, of which the sums are those of each; another program is another."""
    workers = [target("/usr/bin/python3", "-c", QUIET) for _ in range(3)]
    other = target("many_stacks")
    daemon("serve")
    for program in (*workers, other):
        program.expect("ready")
        ctl("attach", program.pid)
    for worker in workers:
        worker.say("go")
        worker.expect("taken")
    other.say("alloc 100")
    other.expect("total_blocks")
    for worker in workers:
        ctl("snapshot", worker.pid, "-o", tmp_path / f"{worker.pid}.dhat")
    files = [tmp_path / f"{worker.pid}.dhat" for worker in workers]
    each = [ctl("stats", "--json", file).json()["totals"] for file in files]
    for answer in (ctl("stats", "--all", "--json").json(), ctl("stats", *files, "--json").json()):
        merged = answer[0]
        assert merged["pids"] == [w.pid for w in workers]
        for key in ("total_bytes", "total_blocks", "live_bytes", "live_blocks"):
            assert merged["totals"][key] == sum(t[key] for t in each), key
    assert [a["pids"] for a in ctl("stats", "--all", "--json").json()] == [[w.pid for w in workers], [other.pid]]
    text = ctl("stats", "--all").out
    assert re.search(rf"^python3, 3 processes \(pid {', '.join(str(w.pid) for w in workers)}\), watched for ", text, re.M)
    assert re.search(r"^many_stacks \(pid ", text, re.M)
    row = ctl("stats", "--all", "--by", "function", "--json").json()[0]["points"][0]
    assert row["live_blocks"] >= 3 * BLOCKS and row["live_bytes"] >= 3 * BLOCKS * 5000
    twice = ctl("stats", files[0], files[0], ok=False)
    assert twice.status == 2 and "two profiles of process" in twice.err
    assert ctl("stats", "--all", other.pid, ok=False).status == 2


def run_dhatctl(*args, socket=None, **options):
    options["env"] = os.environ | ({"DHATD_SOCKET": str(socket)} if socket else {})
    return subprocess.run([BUILD / "dhatctl", *map(str, args)], capture_output=True, text=True, timeout=DEADLINE,
                          stdin=subprocess.DEVNULL, **options)


def test_words_in_any_order(quiet, daemon, ctl, socket_path):
    daemon("attach", "--pid", quiet.pid)
    for args in (["-s", socket_path, "stats"], ["--socket", socket_path, "--json", "stats"], [f"--socket={socket_path}", "stats"],
                 ["-p", quiet.pid, "-s", socket_path, "stats", "--top", "1"], ["--top", "1", "-s", socket_path, "stats"],
                 ["stats", quiet.pid, "-s", socket_path], ["status", quiet.pid, "-s", socket_path]):
        done = run_dhatctl(*args)
        assert done.returncode == 0 and "live" in done.stdout, (args, done)
    assert run_dhatctl("-s", "/nowhere/s", "stats").returncode == 9
    for args in (["stats", "-h"], ["-h", "stats"], ["help", "stats"], ["stats", "-?"], ["--help", "stats"]):
        done = run_dhatctl(*args)
        assert done.returncode == 0 and done.stdout.startswith("Usage: dhatctl stats ") and "--by=WHAT" in done.stdout, args
    for args in (["-h"], ["help"], ["--help"], ["-?"]):
        done = run_dhatctl(*args)
        assert done.returncode == 0 and "snapshot" in done.stdout and "repair" in done.stdout, args
    for word, meant in (("stat", "stats"), ("statz", "stats"), ("snap", "snapshot"), ("snapshto", "snapshot"), ("exprot", "export")):
        done = run_dhatctl(word)
        assert done.returncode == 2 and f"did you mean {meant}?" in done.stderr, done
    for args in (["frobnicate"], ["help", "frobnicate"]):
        done = run_dhatctl(*args)
        assert done.returncode == 2 and "frobnicate: no such command; `dhatctl --help' lists them" in done.stderr, done


def test_snapshot_names_its_file(quiet, daemon, ctl, tmp_path, socket_path):
    daemon("attach", "--pid", quiet.pid)
    here = tmp_path / "here"
    here.mkdir()
    for i in range(2):  # in one second, perhaps
        done = run_dhatctl("snapshot", socket=socket_path, cwd=here)
        assert done.returncode == 0
    run_dhatctl("snapshot", quiet.pid, "--format", "json", socket=socket_path, cwd=here)
    names = sorted(p.name for p in here.iterdir())
    assert len(names) == 3, names
    for name in names:
        assert re.fullmatch(rf"python3-{quiet.pid}-\d{{8}}-\d{{6}}(-2)?\.(dhat|json)", name), name
    [profile] = [n for n in names if n.endswith(".json")]
    assert json.loads((here / profile).read_text())["dhatFileVersion"] == 2
    back = run_dhatctl("stats", here / profile)
    assert back.returncode == 0 and "read from DHAT JSON of dhatctl's, which lacks" in back.stdout
    dhat = here / [n for n in names if n.endswith(".dhat")][0]
    assert run_dhatctl("stats", dhat).returncode == 0
    # a terminal gets no profile
    for args in (["snapshot", "-o", "-"], ["export", dhat], ["export", dhat, "-o", "-"]):
        done = subprocess.run(["script", "-qec", " ".join(map(str, [BUILD / "dhatctl", *args])), "/dev/null"],
                              capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL,
                              env=os.environ | {"DHATD_SOCKET": str(socket_path)})
        assert done.returncode == 2 and "helps nobody" in done.stdout and "dhatFileVersion" not in done.stdout, done


def test_no_secrets_and_no_wide_lines(target, daemon, ctl, tmp_path, socket_path):
    """Arguments may be passwords; and whatever the width, lines fit where it is not one long word."""
    program = target("/usr/bin/python3", "-c", QUIET, "--password", "hunter2")
    program.expect("ready")
    daemon("attach", "--pid", program.pid)
    ctl("snapshot", "-o", tmp_path / "x.dhat")
    for args in (["stats"], ["stats", "--sort", "total", "--by", "line"], ["status"], ["rss"], ["plan", program.pid],
                 ["stats", tmp_path / "x.dhat"], ["snapshot", "-o", tmp_path / "y.json"]):
        for columns in ("60", "80", "200"):
            out = ctl(*args, env={"COLUMNS": columns}).out
            assert "hunter2" not in out and "python3 (pid " in out, (args, out)
            for line in out.splitlines():
                assert len(line) <= int(columns) or re.fullmatch(r" *(written to )?[^ ]+", line), (columns, args, line)
    assert "hunter2" in ctl("stats", "--json").out
    ctl("detach", program.pid)
    text = ctl("status").out
    assert re.search(r"^python3 \(pid .*; detached$", text, re.M) and not re.search("^  rate", text, re.M), text


# what may be wider than the screen
ONE_WORD = re.compile(r" *((at|from|by|->) )?[^ ]+")


def has_whole_names_on_narrow_screens(ctl, words, *profiles):
    """Every other command that prints names or tables: no line is wider than the screen, no word of a name is cut."""
    before, after = profiles
    for args in (["explain"], ["suspects"], ["pins"], ["holds"], ["top", "--batch", "--count", "1"], ["diff", before, after],
                 ["diff", before, "--by", "function"], ["verify", after, after], ["stats", "--since", "before"],
                 ["stats", "--ages", "--sizes", "--depth", "1"], ["stats", "--temporary", "--pages", "--depth", "1"]):
        out = ctl(*args, env={"COLUMNS": "60"}, ok=False).out
        assert len(out.splitlines()) > 3, (args, out)
        for line in out.splitlines():
            assert len(line) <= 60 or ONE_WORD.fullmatch(line), (args, line)
        for name in re.findall(r"(?:[\w~…]+(?:<…>)?::)+[\w~…]+(?:<…>)?", out):
            assert set(re.findall(r"[A-Za-z_]\w*", name)) <= words, (args, name)


def test_names_of_templates(target, daemon, ctl, tables, tmp_path):
    """However narrow the screen: what is left out of a name is marked, and its own word stays."""
    program = target("templates")
    program.expect("ready")
    daemon("attach", "--pid", program.pid)
    tables()
    ctl("mark", "before")
    ctl("snapshot", "-o", tmp_path / "before.dhat")
    program.say("go")
    program.expect("done")
    rows = {row["function"]: row for row in ctl("stats", "--by", "function", "--json").json()["points"]}
    [put] = [row for name, row in rows.items() if "PriceCache<int, std::shared_ptr<acme::orders::pricing::v2::Order>" in name]
    [login] = [row for name, row in rows.items() if name.startswith("acme::orders::pricing::v2::login")]
    # a key, its node, a map's node and a vector for each entry, and the buckets
    assert 4 * 1000 <= put["live_blocks"] <= 4 * 1000 + 10 and put["merged_points"] >= 4
    assert login["live_blocks"] == 2 * 100 and login["live_bytes"] % 200 == 0
    whole = ctl("stats", "--whole-names", "--depth", "0", "--sort", "total", "--top", "1000").out
    words = set(re.findall(r"[A-Za-z_]\w*", whole)) | {"string"}
    for columns in ("60", "80", "200", ""):
        for options in ([], ["--addresses"], ["--by", "line"], ["--by", "file"], ["--trim", "std"], ["--sort", "total"]):
            out = ctl("stats", "--depth", "0", *options, env={"COLUMNS": columns}).out
            headline, _, stacks = out.partition("\nTotal:")
            assert re.search(r"  from (…|acme)::[\w:]*PriceCache<…>::put<…>", headline), out
            frames = [line for line in stacks.splitlines() if line.startswith("      ") and "::" in line]
            assert frames or "file" in options
            for line in frames:
                name = line.split("  ")[4 if "--addresses" in options and line.startswith("        ") else 3].strip()
                assert set(re.findall(r"[A-Za-z_]\w*", name)) <= words, line  # no word is cut
                assert name.count("<") == name.count(">") and name.count("(") == name.count(")"), line
            if columns:
                for line in out.splitlines():
                    assert len(line) <= int(columns) or re.fullmatch(r" *(at )?[^ ]+", line), line
            if not options:
                assert re.search(r"(…|std)::_Hashtable<…>::(_M_)?emplace<…>\(…\)|…::(_M_)?emplace<…>\(…\)", stacks), out
            if "std" in options:
                assert "std::" not in stacks
    assert "std::_Hashtable<std::__cxx11::basic_string<char" in whole
    ctl("snapshot", "-o", tmp_path / "after.dhat")
    has_whole_names_on_narrow_screens(ctl, words | {"cache", "Node"}, tmp_path / "before.dhat", tmp_path / "after.dhat")


def test_asking_before_there_is_an_answer(quiet, daemon, ctl, tmp_path, socket_path):
    """dhatd attach N & dhatctl snapshot --wait: everybody's script."""
    asking = [subprocess.Popen([BUILD / "dhatctl", *command, "--wait", "--socket", socket_path], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
              for command in (["snapshot", "-o", "x.json"], ["stats", "--json", "--pid", str(quiet.pid)], ["rss"],
                              ["status", "--json"], ["status", "--json", str(quiet.pid)], ["stats", "--all", "--json"])]
    daemon("attach", quiet.pid, wait=False)
    for process in asking:
        out, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, err
        if "status" in process.args:
            assert [t["target"]["pid"] for t in json.loads(out)["targets"]] == [quiet.pid]
    assert json.loads((tmp_path / "x.json").read_text())["pid"] == quiet.pid


def test_waiting_for_a_process_to_be_attached(quiet, daemon, ctl, tmp_path, socket_path):
    daemon("serve")
    asking = subprocess.Popen([BUILD / "dhatctl", "snapshot", "--wait=100", "--pid", str(quiet.pid), "-o", "y.json",
                               "--socket", socket_path], cwd=tmp_path)
    ctl("attach", quiet.pid)
    assert asking.wait(120) == 0
    assert json.loads((tmp_path / "y.json").read_text())["pid"] == quiet.pid


def test_patience_has_an_end(ctl):
    assert ctl("stats", "--wait=1", ok=False).status == 9
    for wrong in ("0", "x", "-1", "100000"):
        assert ctl("stats", f"--wait={wrong}", ok=False).status == 2


def test_what_does_not_exist_is_not_waited_for(daemon, ctl):
    daemon("serve")
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    assert ctl("attach", "--wait=1000", gone.pid, ok=False).status == 3
