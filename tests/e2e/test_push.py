"""Profiles are pushed to where they are collected: in the forms that are documented there, through outages and restarts, exact."""
import json
import re
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import BUILD, DEADLINE, TARGETS, until
from pushed import Judge
from test_formats import pprof, total_of
from test_http import Curl, series, url_of


@pytest.fixture
def judge():
    judges = []

    def start(certificate=None):
        judges.append(Judge(certificate))
        return judges[-1]
    yield start
    for one in judges:
        one.close()


@pytest.fixture
def waves(target, tmp_path):
    """In a file of its own: what a section names by its path is nobody else's."""
    process = target(shutil.copy(TARGETS / "waves", tmp_path / "waves"))
    process.expect("ready")
    process.allocated = 0

    def allocate(count):
        process.allocated += count
        process.say(f"alloc {count} 1000")
        process.expect(f'total_blocks":{process.allocated}\\b')
    process.allocate = allocate
    return process


def figure(data, name, tmp_path):
    path = tmp_path / "pushed.pb.gz"
    path.write_bytes(data)
    return total_of(pprof("-top", f"-sample_index={name}", "-unit=bytes", path))


def arrived(judge, count):
    until(lambda: len(judge.profiles) >= count or judge.wrong, f"{count} profiles")
    assert not judge.wrong
    return judge.profiles[:count]


IDLE_SECONDS = 30  # client.h: after as many dhatd gives up a server that says nothing
FORMS = [("pyroscope", "/ingest"), ("connect", "/push.v1.PusherService/Push"), ("parca", "/api/profiles/writeraw")]


@pytest.mark.parametrize("form, path", FORMS)
def test_forms(daemon, ctl, waves, judge, tmp_path, form, path):
    """What is documented there is kept, and sums are right: where they are summed over time, of what was allocated since the
    last one, the rest at an end; else since the attach."""
    server = judge()
    dhatd = daemon("attach", waves.pid, "--no-inventory", "--record", tmp_path / "kept", "--push", server.url + path, "--push-every", "1h")
    waves.allocate(500)
    dhatd.send_signal(signal.SIGUSR2)
    [(labels, first)] = arrived(server, 1)
    assert (labels["service_name"], labels["pid"]) == ("waves", str(waves.pid)) and labels["hostname"]
    waves.allocate(300)
    push = until(lambda: (p := ctl("status", "--json").json()["pushes"][0])["pushed"] == 1 and p, "the count")
    assert push["form"] == form and push["url"] == server.url + path and push["waiting"] == push["dropped"] == 0
    assert dhatd.stop() == 0
    [_, (_, last)] = arrived(server, 2)
    assert len(server.profiles) == 2
    assert [figure(data, "inuse_space", tmp_path) for data in (first, last)] == [500000, 800000]
    assert [figure(data, "alloc_space", tmp_path) for data in (first, last)] == [500000, 800000 if form == "parca" else 300000]


def test_lines(daemon, waves, judge, tmp_path):
    server = judge()
    dhatd = daemon("attach", waves.pid, "--no-inventory", "--record", tmp_path / "kept", "--push", server.url + "/lines", "--push-as", "jsonl",
                   "--on", "exit")
    waves.allocate(500)
    waves.say("quit")
    [(labels, body)] = arrived(server, 1)
    assert labels["service_name"] == "waves" and labels["pid"] == str(waves.pid)
    assert sum(json.loads(line).get("live_bytes", 0) for line in body.splitlines()[1:]) == 500000
    assert dhatd.stop() == 0


def test_outage(daemon, ctl, waves, judge, tmp_path):
    """A server that is away, and a dhatd that is killed meanwhile: all that was pushed arrives, in its order, and the sum is
    what was allocated."""
    server = judge()
    server.status = 503
    options = ["attach", waves.pid, "--no-inventory", "--record", tmp_path / "kept", "--push", server.url, "--push-every", "1s"]
    dhatd = daemon(*options, "--listen", "127.0.0.1:0")
    dhatd.expect_err(r"cannot push to http://127\S+/ingest: it answers 503 \(not now\); profiles wait on disk meanwhile")
    for _ in range(3):
        waves.allocate(100)
    waiting = until(lambda: (p := ctl("status", "--json").json()["pushes"][0])["waiting"] >= 3 and p, "profiles to wait")
    assert waiting["trouble"] == "it answers 503 (not now)" and waiting["failed"] >= 1
    assert "503 (not now)" in ctl("status").out
    page = series(Curl(url_of(dhatd) + "metrics").text)
    labels = f'{{url="{server.url}/ingest",form="pyroscope"'
    assert page[f"dhatd_push_waiting_profiles{labels}}}"] >= 3 and page[f"dhatd_push_waiting_bytes{labels}}}"] > 1000
    assert page[f"dhatd_push_failures_total{labels}}}"] >= 1 and page[f"dhatd_push_profiles_total{labels}}}"] == 0
    assert page[f'dhatd_push_lost_total{labels},reason="dropped"}}'] == page[f'dhatd_push_lost_total{labels},reason="refused"}}'] == 0
    dhatd.kill()
    kept = len(list(tmp_path.glob("kept/push/*/*.push")))
    assert kept >= 3 and not server.profiles
    server.status = None
    again = daemon(*options)
    arrived(server, kept)
    assert again.stop() == 0
    assert not server.wrong and not list(tmp_path.glob("kept/push/*/*.push"))
    times = [figure(data, "inuse_space", tmp_path) for _, data in server.profiles[:kept]]
    assert times == sorted(times)
    # a dhatd that was killed cannot know what it had not pushed yet: what it did is there, once
    assert sum(figure(data, "alloc_space", tmp_path) for _, data in server.profiles[:kept]) == times[-1] <= 300000


def test_certificate_and_token(daemon, ctl, waves, judge, tmp_path):
    """An unknown certificate is not spoken to; the token is in no argument, no log and no status."""
    cert, key, token = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "token"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out",
                    cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    token.write_text("a-word-that-nobody-shall-see\n")
    token.chmod(0o600)
    server = judge((cert, key))
    server.token = "Bearer a-word-that-nobody-shall-see"
    options = ["attach", waves.pid, "--record", tmp_path / "kept", "--push", server.url, "--push-every", "1s", "--push-token", token]
    dhatd = daemon(*options)
    dhatd.expect_err(r"cannot push to https://127\S+: .*certificate.*; profiles wait on disk until that is mended")
    assert not server.heads
    assert dhatd.stop() == 0
    dhatd = daemon(*options, "--push-ca", cert)
    arrived(server, 2)
    said = ctl("status", "--json").out + dhatd.err + "".join(p.read_text("latin1") for p in tmp_path.glob("kept/push/*/*"))
    assert "nobody-shall" not in said
    assert "nobody-shall" not in " ".join(dhatd.argv)
    assert dhatd.stop() == 0


def test_hanging_server_costs_nobody(daemon, ctl, waves, tmp_path):
    """It takes the connection, and no more: all else goes on, an end too."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
        dhatd = daemon("attach", waves.pid, "--record", tmp_path / "kept", "--push", f"http://127.0.0.1:{server.getsockname()[1]}",
                       "--push-every", "1s")
        until(lambda: ctl("status", "--json").json()["pushes"][0]["waiting"] >= 2, "profiles to wait")
        waves.allocate(400)
        assert ctl("stats", "--json").json()["totals"]["live_bytes"] >= 400000
        assert dhatd.stop(deadline=IDLE_SECONDS) == 0


@pytest.mark.parametrize("options, said", [
    (["--push", "http://127.0.0.1:1"], "when? give --push-every"),
    (["--push-every", "1m"], "give --push URL"),
    (["--push", "http://h/x", "--push-every", "1m"], "--push-as"),
])
def test_mistakes(options, said, tmp_path):
    done = subprocess.run([BUILD / "dhatd", "serve", "--socket", tmp_path / "s", *options], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 2 and said in done.stderr, done.stderr


def test_sections(daemon, ctl, target, judge, tmp_path):
    """Each section of a configuration has a destination of its own; a reload leaves one out."""
    one, two = judge(), judge()
    config = tmp_path / "dhatd.conf"

    def write(*urls):
        config.write_text("".join(f"[watch w{i}]\ncommand = waves{i}\npush = {url}\npush-every = 1s\n" for i, url in enumerate(urls)))
    for number in (0, 1):
        path = tmp_path / f"waves{number}"
        path.symlink_to(BUILD / "tests/targets/waves")
        target(path).expect("ready")
    write(one.url, two.url)
    dhatd = daemon("serve", "--config", config, "--record", tmp_path / "kept")
    for server in one, two:
        arrived(server, 1)
    assert len(ctl("status", "--json").json()["pushes"]) == 2
    write(one.url)
    dhatd.send_signal(signal.SIGHUP)
    dhatd.expect_err("read .*dhatd.conf again")
    until(lambda: [p["url"] for p in ctl("status", "--json").json()["pushes"]] == [one.url + "/ingest"], "the other to go")
    assert dhatd.stop() == 0
    assert not one.wrong and not two.wrong


def test_a_section_goes(daemon, waves, judge, tmp_path):
    """What was allocated since the last push arrives where the others went."""
    server, config = judge(), tmp_path / "dhatd.conf"
    config.write_text(f"[watch it]\ncommand = {waves.argv[0]}\nno-inventory = yes\npush = {server.url}\npush-every = 1h\n")
    dhatd = daemon("serve", "--config", config, "--record", tmp_path / "kept")
    dhatd.expect_err(rf"attached to {waves.pid} ")
    waves.allocate(500)
    dhatd.send_signal(signal.SIGUSR2)  # it has been met
    arrived(server, 1)
    waves.allocate(300)
    config.write_text("")
    dhatd.send_signal(signal.SIGHUP)
    profiles = arrived(server, 2)
    assert [figure(data, "alloc_space", tmp_path) for _, data in profiles] == [500000, 300000]
    assert dhatd.stop() == 0 and len(server.profiles) == 2 and not list(tmp_path.glob("kept/push/*"))


def test_what_is_left_is_told(daemon, ctl, waves, judge, tmp_path):
    """Another URL while profiles wait: it is said how many, and where; they are sent when the old one is set again."""
    server, config, other = judge(), tmp_path / "dhatd.conf", "http://127.0.0.1:1"
    server.status = 503

    def write(url):
        config.write_text(f"[watch it]\ncommand = {waves.argv[0]}\nno-inventory = yes\npush = {url}\npush-every = 1s\n")
    write(server.url)
    dhatd = daemon("serve", "--config", config, "--record", tmp_path / "kept", "--listen", "127.0.0.1:0")
    until(lambda: (p := ctl("status", "--json").json().get("pushes")) and p[0]["waiting"] >= 2, "two to wait")
    write(other)
    dhatd.send_signal(signal.SIGHUP)
    count, folder = dhatd.expect_err(rf"(\d+) profiles for {server.url}/ingest wait in (\S+), and nothing sends them").groups()
    left = next(p for p in ctl("status", "--json").json()["pushes"] if p.get("is_left"))
    assert (left["url"], left["folder"], left["waiting"]) == (server.url + "/ingest", folder, int(count)) and int(count) >= 3
    assert f"pushes no more to {server.url}/ingest" in ctl("status").out
    page = series(Curl(url_of(dhatd) + "metrics").text)
    assert page[f'dhatd_push_left_profiles{{url="{server.url}/ingest",folder="{folder}"}}'] == int(count)
    server.status = None
    write(server.url)
    dhatd.send_signal(signal.SIGHUP)
    arrived(server, int(count))
    assert dhatd.stop() == 0


def test_outage_beyond_the_bound(daemon, ctl, target, judge, tmp_path):
    """More waits than --push-spool lets: the oldest go, are counted, and all others arrive in their order when the server is there again."""
    server = judge()
    server.status = 503
    process = target("many_stacks")
    process.expect("ready")
    url = server.url + "/lines"
    dhatd = daemon("serve", "--record", tmp_path / "kept", "--push", url, "--push-as", "jsonl", "--push-every", "1h", "--push-spool", "2M",
                   "--listen", "127.0.0.1:0")
    ctl("attach", process.pid, "--no-inventory")

    def look():
        return ctl("status", "--json").json()["pushes"][0]
    made, state = 0, look()
    while state["dropped"] < 2:
        made += 1
        process.say("alloc 100")
        process.expect(rf'total_blocks":{made * 100}\b')
        dhatd.send_signal(signal.SIGUSR2)
        state = until(lambda: (s := look())["waiting"] + s["dropped"] == made and s, "one more to wait")
        assert state["waiting_bytes"] <= 2 << 20 and made < 50  # of one alone, which has the paths of files in it, a third
    waiting, dropped = state["waiting"], state["dropped"]
    assert waiting >= 1
    assert f"{dropped} profiles: more waited than --push-spool" in ctl("status").out
    assert series(Curl(url_of(dhatd) + "metrics").text)[f'dhatd_push_lost_total{{url="{url}",form="jsonl",reason="dropped"}}'] == dropped
    assert len(re.findall("has reached its bound: the oldest profiles go", dhatd.err)) == 1
    server.status = None
    dhatd.send_signal(signal.SIGHUP)  # what waits is tried at once
    blocks = [sum(json.loads(line).get("live_blocks", 0) for line in body.splitlines()[1:]) for _, body in arrived(server, waiting)]
    assert blocks == [number * 100 for number in range(dropped + 1, made + 1)]
    state = until(lambda: (s := look())["pushed"] == waiting and s, "all to have arrived")
    assert state["waiting"] == 0 and state["dropped"] == dropped and dhatd.stop() == 0
