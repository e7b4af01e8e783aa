"""dhatd --listen: what is answered by HTTP, and to whom."""
import re
import signal
import subprocess
import threading

import pytest

from conftest import BUILD, DEADLINE, until
from test_errors import public_directory, run, waves  # noqa: F401 (fixtures)


def url_of(dhatd):
    return dhatd.expect_err(r"answering by HTTP at (\S+)")[1]


class Curl:
    """curl's answer: status, headers, body."""

    def __init__(self, *argv, user=None):
        done = subprocess.run(["curl", "-sS", "-i", "--max-time", "50", *map(str, argv)], capture_output=True, user=user,
                              stdin=subprocess.DEVNULL)
        head, _, self.body = done.stdout.partition(b"\r\n\r\n")
        self.head = head.decode()
        self.status = int(self.head.split()[1]) if head else 0
        self.code, self.err = done.returncode, done.stderr.decode()

    @property
    def text(self):
        return self.body.decode()


def series(text):
    """A page of metrics: values by name and labels, the pid left out."""
    return {re.sub(r',?pid="\d+"', "", line.rpartition(" ")[0]): float(line.rpartition(" ")[2])
            for line in text.splitlines() if not line.startswith("#")}


def allocate(process, count, total):
    process.say(f"alloc {count} 50")
    process.expect(f'total_blocks":{total}')


def pprof(*argv):
    done = subprocess.run(["go", "tool", "pprof", "-symbolize=none", *map(str, argv)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_metrics(daemon, ctl, waves):  # noqa: F811
    """To the byte what stats says, judged by promtool; and when the process ends its series do."""
    dhatd = daemon("attach", waves.pid, "--no-inventory", "--listen", "127.0.0.1:0")
    url = url_of(dhatd)
    allocate(waves, 100, 100)
    answer = Curl(url + "metrics")
    assert answer.status == 200
    assert "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in answer.head
    lint = subprocess.run(["promtool", "check", "metrics"], input=answer.body, capture_output=True)
    assert (lint.returncode, lint.stdout, lint.stderr) == (0, b"", b"")
    of = '{program="waves"'
    page = series(answer.text)
    totals = ctl("stats", "--json").json()["totals"]
    assert page[f"dhatd_heap_live_bytes{of}}}"] == totals["live_bytes"] == 5000
    assert page[f"dhatd_heap_allocated_blocks_total{of}}}"] == totals["total_blocks"] == 100
    assert page[f'dhatd_stack_live_bytes{of},stack="take (targets/waves.c) < main"}}'] == 5000
    assert page[f'dhatd_verdict{of},verdict="exact"}}'] == 1
    assert page["dhatd_targets"] == 1
    waves.say("quit")
    waves.wait()
    page = until(lambda: [p for p in [series(Curl(url + "metrics").text)] if p["dhatd_targets"] == 0],
                 "the end of the series")[0]
    assert page[f'dhatd_ended_live_bytes{of},state="exited"}}'] == 5000
    assert not [name for name in page if name.startswith(("dhatd_heap", "dhatd_stack", "dhatd_verdict"))]


def test_profiles(daemon, ctl, waves, tmp_path):  # noqa: F811
    """Files of the exporters; with seconds= what has changed meanwhile. By Go's own pprof."""
    allocate(waves, 10, 10)
    url = url_of(daemon("attach", waves.pid, "--no-inventory", "--listen", "127.0.0.1:0"))
    allocate(waves, 100, 110)
    top = ["-top", "-unit=bytes"]
    assert re.search(r"inuse_space\n(.*\n)*.*5000B total", pprof(*top, url + "debug/pprof/heap"))
    assert "Type: alloc_space" in pprof(*top, f"{url}debug/pprof/allocs?pid={waves.pid}")

    grown, total = 0, 110
    while not grown:  # on a busy machine a second may go by without an allocation
        answers, before = [], total
        waiting = threading.Thread(target=lambda: answers.append(Curl(url + "debug/pprof/heap?seconds=1")))
        waiting.start()
        total = allocate_until_answered(waves, waiting, total)
        (tmp_path / "grown.pb.gz").write_bytes(answers[0].body)
        grown = int((re.search(r"(\d+)B total", pprof(*top, tmp_path / "grown.pb.gz")) or [0, 0])[1])
        assert grown <= 50 * (total - before) and grown % 50 == 0

    (tmp_path / "x.dhat").write_bytes(Curl(url + "snapshot").body)
    lossless, now = (ctl("stats", "--json", *of).json()["totals"]["live_blocks"] for of in ([tmp_path / "x.dhat"], []))
    assert lossless == now > 110
    report = Curl(url)
    assert report.text.startswith("<!DOCTYPE html>") and "sandbox allow-scripts" in report.head
    for path, status, word in (("none", 404, "/metrics"), ("snapshot?pid=1", 404, "not attached"),
                               ("snapshot?pid=x", 400, "process id"), ("debug/pprof/heap?seconds=9999", 400, "600"),
                               ("debug/pprof/heap?debug=1", 400, "binary")):
        answer = Curl(url + path)
        assert answer.status == status and word in answer.text


def allocate_until_answered(process, waiting, total):
    """In both halves of the difference, whenever they are taken. How many there are."""
    while waiting.is_alive():
        total += 1
        allocate(process, 1, total)
        waiting.join(0.05)
    return total


def test_several_targets(daemon, target):
    first, second = target("waves"), target("waves")
    for process in first, second:
        process.expect("ready")
    url = url_of(daemon("attach", first.pid, second.pid, "--no-inventory", "--listen", "127.0.0.1:0"))
    index = Curl(url).text
    assert f"/report?pid={first.pid}" in index and f"/report?pid={second.pid}" in index
    refused = Curl(url + "snapshot")
    assert refused.status == 400 and f"several processes are attached: choose by ?pid= or ?program=: {first.pid} (waves)" in refused.text
    chosen = Curl(url + "debug/pprof/allocs?program=waves")
    assert chosen.status == 200 and f'waves-{first.pid}-' in chosen.head
    assert Curl(url + "snapshot?program=none").status == 404
    assert Curl(f"{url}report?pid={second.pid}").status == 200


# takes all places that one user has (places.h: HTTP_PEER_PLACES), and says so when more are refused
TAKES_PLACES = """
import socket, sys
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(12)]
for one in held[:8]:
    one.sendall(b"GET / HTTP/1.1\\r\\n")
assert all(b" 503 " in one.recv(100) for one in held[8:])
print("held", flush=True)
sys.stdin.read()
"""


def test_who_may(daemon, target, public_directory, waves):  # noqa: F811
    """At a loopback address root; at a unix socket root; others by a token, or nobody."""
    socket = public_directory / "http.sock"
    nobody = 65534
    dhatd = daemon("attach", waves.pid, "--no-inventory", "--listen", "127.0.0.1:0")
    url = url_of(dhatd)
    assert Curl(url + "metrics").status == 200
    assert Curl(url + "metrics", user=nobody).status == 403
    assert Curl(url + "healthz", user=nobody).status == 200
    assert Curl(url + "metrics", "-H", "Host: evil.example").status == 403
    # nor can they take all the places
    target("/usr/bin/python3", "-c", TAKES_PLACES, url.rstrip("/").rpartition(":")[2], user=nobody).expect("held")
    assert Curl(url + "metrics").status == 200
    dhatd.stop()
    url_of(daemon("attach", waves.pid, "--no-inventory", "--listen", socket))
    assert Curl("--unix-socket", socket, "http://x/metrics").status == 200
    assert Curl("--unix-socket", socket, "http://x/metrics", user=nobody).status == 0


def test_token_and_tls(daemon, waves, tmp_path):  # noqa: F811
    token, cert, key = tmp_path / "token", tmp_path / "cert.pem", tmp_path / "key.pem"
    token.write_text("a-token-of-this-test\n")
    token.chmod(0o600)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    url = url_of(daemon("attach", waves.pid, "--no-inventory", "--listen", "0.0.0.0:0", "--listen-token", token,
                        "--listen-cert", cert, "--listen-key", key)).replace("0.0.0.0", "localhost")
    tls = ["--cacert", cert, url + "metrics"]
    refused = Curl(*tls)
    assert refused.status == 401 and "WWW-Authenticate: Basic" in refused.head
    assert Curl(*tls, "-H", "Authorization: Bearer a-token-of-this-test").status == 200
    assert Curl(*tls, "-H", "Authorization: Bearer a-token-of-this-tesT").status == 401
    assert Curl(*tls, "-u", "pprof:a-token-of-this-test").status == 200
    assert Curl(*tls, "-u", "pprof:wrong").status == 401
    assert Curl(url.replace("https", "http") + "metrics").status == 0


@pytest.mark.parametrize("options, status, word", [
    (["--listen", "0.0.0.0:0"], 2, "--listen-token FILE"),
    (["--listen", "0.0.0.0:0", "--listen-open"], 2, "--listen-cert"),
    (["--listen", "example.org:80"], 2, "not an address"),
    (["--listen-open"], 2, "--listen ADDRESS"),
    (["--listen", "127.0.0.1:0", "--listen-cert", "/etc/hostname"], 2, "belong together")])
def test_refused_at_the_start(options, status, word, socket_path, tmp_path):
    done = run(BUILD / "dhatd", "serve", "--socket", socket_path, *options, cwd=tmp_path)
    assert done.returncode == status and word in done.stderr
    assert not socket_path.exists()



def certificate(directory, name):
    """cert, key: a certificate of its own for 127.0.0.1."""
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def test_renewal(daemon, ctl, target, tmp_path):
    """SIGHUP: another certificate and another token are asked for, what is under way goes on; a mistake changes nothing."""
    token = tmp_path / "token"
    token.write_text("the-first-token-there-is\n")
    token.chmod(0o600)
    old, new = certificate(tmp_path, "old"), certificate(tmp_path, "new")
    used = tmp_path / "cert.pem", tmp_path / "key.pem"
    for source, place in zip(old, used):
        place.write_bytes(source.read_bytes())
    dhatd = daemon("serve", "--listen", "127.0.0.1:0", "--listen-token", token, "--listen-cert", used[0], "--listen-key", used[1])
    url = url_of(dhatd)
    waves = target("waves")
    waves.expect("ready")
    ctl("attach", "--pid", waves.pid)

    def ask(cert, word, path="metrics"):
        return Curl("--cacert", cert, "-H", f"Authorization: Bearer {word}", url + path)

    def renew(said):
        dhatd.send_signal(signal.SIGHUP)
        dhatd.expect_err(said)
    assert ask(old[0], "the-first-token-there-is").status == 200
    verbose = tmp_path / "verbose"
    verbose.touch()
    slow = subprocess.Popen(["curl", "-sSv", "--stderr", verbose, "--cacert", old[0], "-H", "Authorization: Bearer the-first-token-there-is", "-o",
                             tmp_path / "slow.pb.gz", "-w", "%{http_code}", url + "debug/pprof/heap?seconds=2"], stdout=subprocess.PIPE)
    until(lambda: "> GET" in verbose.read_text(), "the request to be sent")
    used[1].write_text("no key\n")
    renew("cannot serve HTTPS: .*; it answers by HTTP as before")
    assert ask(old[0], "the-first-token-there-is").status == 200
    for source, place in zip(new, used):
        place.write_bytes(source.read_bytes())
    token.write_text("the-second-token-there-is\n")
    renew("read again what it answers by HTTP with")
    assert ask(old[0], "the-second-token-there-is").code == 60  # curl does not know this certificate
    assert ask(new[0], "the-first-token-there-is").status == 401
    assert ask(new[0], "the-second-token-there-is").status == 200
    assert slow.communicate(timeout=DEADLINE)[0] == b"200" and (tmp_path / "slow.pb.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert dhatd.stop() == 0
