"""make test-prometheus: a real Prometheus scrapes a host on which dhatd watches, with the rules that are shipped.

Only times and thresholds are made smaller (seconds for minutes). Not part of `make test`: it takes half a minute.
"""
import json
import re
import socket
import urllib.parse
import urllib.request

import pytest

from conftest import Process, until
from monitoring import CONFIG, RULES
from test_http import allocate, url_of

PATIENCE = 120
# of the rules, the longest first: "1d offset 1h" and "for: 10m" are too long to wait for
SHORTER = (("[1d] offset 1h", "[30s] offset 4s"), ("[10m]", "[8s]"), ("for: 10m", "for: 4s"), ("for: 1m", "for: 1s"),
           ("for: 5m", "for: 1s"), ("> 32 * 1024 * 1024", "> 1000"), ("> 1024 * 1024", "> 1000"), ("> 512 * 1024", "> 500"), ("sum[1h]", "sum[30s]"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    def __init__(self, started, directory, scraped, token):
        self.url = f"http://127.0.0.1:{free_port()}"
        rules, config = RULES.read_text(), CONFIG.read_text()
        for long, short in SHORTER:
            assert long in rules
            rules = rules.replace(long, short)
        for said, meant in (("127.0.0.1:9664", scraped), ("15s", "1s"), ("/etc/prometheus/dhatd.token", str(token))):
            assert said in config
            config = config.replace(said, meant)
        (directory / RULES.name).write_text(rules)
        (directory / "prometheus.yml").write_text("global: {evaluation_interval: 1s}\n" + config)
        self.process = Process(["prometheus", "--config.file=prometheus.yml", f"--storage.tsdb.path={directory}/tsdb",
                                f"--web.listen-address={self.url[7:]}"], directory, "prometheus")
        started.append(self.process)
        self.process.expect_err("Server is ready")

    def get(self, path, **query):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}") as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """Labels, as a dictionary, and the value, of each series."""
        return [(sample["metric"], float(sample["value"][1])) for sample in self.get("query", query=expression)["result"]]

    def value(self, expression):
        found = self.query(expression)
        return found[0][1] if len(found) == 1 else None

    def firing(self):
        return {alert["labels"]["alertname"]: alert for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"}

    def fires(self, name):
        return until(lambda: self.firing().get(name), f"{name} to fire", PATIENCE)

    def ends(self, name):
        until(lambda: name not in self.firing(), f"{name} to end", PATIENCE)


@pytest.fixture
def host(daemon, started, tmp_path):
    """dhatd that serves, and a Prometheus that has scraped it."""
    token = tmp_path / "token"
    token.write_text("a-token-of-this-test\n")
    token.chmod(0o600)
    dhatd = daemon("serve", "--listen", "127.0.0.1:0", "--listen-token", token)
    prometheus = Prometheus(started, tmp_path, re.search(r"//(.*)/", url_of(dhatd))[1], token)
    until(lambda: prometheus.value('up{job="dhatd"}') == 1, "the first scrape", PATIENCE)
    return dhatd, prometheus


def attached(target, ctl):
    process = target("waves")
    process.expect("ready")
    ctl("attach", process.pid, "--no-inventory", "--ring-size", "64K")
    return process


def grow_until(process, total, condition):
    """Now and then 20 blocks; how many there are then."""
    while not condition():
        total += 20
        allocate(process, 20, total)
    return total


def test_growth_end_and_restart(host, target, ctl):
    dhatd, prometheus = host
    live = 'dhatd_heap_live_bytes{program="waves"}'
    process = attached(target, ctl)
    allocate(process, 100, 100)
    until(lambda: prometheus.value(live) == 5000, "its figures", PATIENCE)
    assert prometheus.value('dhatd_heap_allocated_blocks_total{program="waves"}') == 100

    until(lambda: prometheus.value("program:dhatd_heap_live_bytes:baseline") == 5000, "a baseline", PATIENCE)
    prometheus.ends("DhatdHeapAboveBaseline")  # in the first second there was nothing live
    assert not prometheus.firing()
    total = grow_until(process, 100, lambda: {"DhatdHeapAboveBaseline", "DhatdStackGrows"} <= set(prometheus.firing()))
    stack = prometheus.firing()["DhatdStackGrows"]["labels"]["stack"]
    assert stack == "take (targets/waves.c) < main"
    assert f"by {stack}: " in prometheus.firing()["DhatdHeapAboveBaseline"]["annotations"]["description"]

    # the end: what was, ends, and what is left is told
    process.say("quit")
    process.wait()
    prometheus.ends("DhatdStackGrows")
    prometheus.ends("DhatdHeapAboveBaseline")
    assert not prometheus.query(live)
    assert prometheus.fires("DhatdLiveAtEnd")["labels"]["program"] == "waves"
    assert prometheus.value('dhatd_ended_live_bytes{program="waves"}') == total * 50

    # another process of the same program: its stack has the same name, and what was before is its baseline
    second = attached(target, ctl)
    allocate(second, 1, 1)
    until(lambda: prometheus.value(live) == 50, "the second process", PATIENCE)
    named = prometheus.query('count by (stack) (count_over_time(dhatd_stack_live_bytes{stack!~"[[].*"}[5m]))')
    assert [(labels["stack"], count) for labels, count in named] == [(stack, 2)]
    assert prometheus.value("program:dhatd_heap_live_bytes:baseline") > 5000
    check_scrapes(prometheus)


def test_inexact_and_down(host, target, ctl):
    dhatd, prometheus = host
    process = attached(target, ctl)
    until(lambda: prometheus.query('dhatd_verdict{verdict="exact"} == 1'), "its verdict", PATIENCE)
    dhatd.send_signal(19)  # SIGSTOP: the ring, which is small, overflows
    allocate(process, 20000, 20000)
    dhatd.send_signal(18)
    alert = prometheus.fires("DhatdInexact")
    assert re.search(r"Lost: .*(shed|dropped)_allocs \d+", alert["annotations"]["description"])
    ctl("detach", process.pid)
    prometheus.ends("DhatdInexact")
    check_scrapes(prometheus)
    dhatd.kill()
    assert prometheus.fires("DhatdDown")["labels"]["job"] == "dhatd"


def check_scrapes(prometheus):
    """Prometheus, which says little of what it does not take, took all of it."""
    assert "err=" not in prometheus.process.err.replace("err=null", "")
    [metadata] = [target for target in prometheus.get("targets")["activeTargets"]]
    assert metadata["health"] == "up" and not metadata["lastError"]
    assert not [family for family in prometheus.get("metadata").items()
                if family[0].startswith("dhatd") and len(family[1]) != 1]
