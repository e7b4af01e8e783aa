"""Peers that do wrong lose their connection; nobody else notices."""
import random
import re
import socket
import subprocess
import time

import pytest

from conftest import BUILD, until
from oracle import Profile
from served import Served
from wire import SNAPSHOT, STATUS, Peer, frame, message_field, request, varint

PROTOCOL = 12
REQUEST_MAX = 64 << 10
DEADLINE = 10  # s; CONTROL_RECEIVE_NS


@pytest.fixture
def waves(target):
    process = target("waves")
    process.expect("ready")
    return process


@pytest.fixture
def dhatd(daemon, waves):
    process = daemon("attach", "--pid", waves.pid, "--no-inventory")
    waves.say("alloc 1000 100")
    waves.expect('total_blocks":1000')
    return process


def asks_status(path):
    """A well-behaved peer gets its status."""
    with Peer(path) as peer:
        peer.send(frame(request(STATUS)))
        response = peer.response()
        assert response[1] == 1 and 3 in response, response  # is_last, status


def test_several_requests_on_one_connection(dhatd, socket_path):
    with Peer(socket_path) as peer:
        for _ in range(20):
            peer.send(frame(request(STATUS)))
            assert 3 in peer.response()


def test_slow_and_half_requests_end_at_the_deadline(dhatd, socket_path):
    whole = frame(request(STATUS))
    begin = time.monotonic()
    peers = [Peer(socket_path) for _ in range(8)]
    for sent, peer in enumerate(peers):  # nothing, half a head, … all but the last byte
        peer.send(whole[:sent])
    assert len(whole) == len(peers)
    drip = Peer(socket_path)
    drip.send(frame(bytes(REQUEST_MAX))[:4])
    answered = 0

    def is_cut():
        nonlocal answered
        if not drip.send(b"\0"):
            return True
        asks_status(socket_path)  # beside it
        answered += 1
        return False
    until(is_cut, "the one that sends byte by byte to be cut", 12 * DEADLINE)
    assert time.monotonic() - begin > DEADLINE / 2
    assert answered > 1
    for peer in peers:
        while peer.response() is not None:
            pass  # an error may come first
        peer.socket.close()
    drip.socket.close()


@pytest.mark.parametrize("size", [REQUEST_MAX + 1, 1 << 31, (1 << 32) - 1])
def test_oversized_requests(size, dhatd, socket_path):
    with Peer(socket_path) as peer:
        peer.send(size.to_bytes(4, "little"))
        error = peer.error()
        assert error is None or error[0] == PROTOCOL
        assert peer.response() is None
    asks_status(socket_path)


def test_largest_request_is_read(dhatd, socket_path):
    """A field that nobody knows fills it up; protobuf says to ignore those."""
    body = request(STATUS)
    padding = REQUEST_MAX - len(body)
    unknown = message_field(1000, b"")
    room = padding - len(unknown) - len(varint(padding)) + 1
    body += varint(1000 << 3 | 2) + varint(room) + bytes(room)
    assert REQUEST_MAX - 4 <= len(body) <= REQUEST_MAX
    with Peer(socket_path) as peer:
        peer.send(frame(body))
        assert 3 in peer.response()


@pytest.mark.parametrize("payload", [b"", b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", varint(1 << 3) + b"\x01",
                                     request(77), request(STATUS, b"\xff\xff\xff")])
def test_nonsense_is_answered_by_an_error(payload, dhatd, socket_path):
    with Peer(socket_path) as peer:
        peer.send(frame(payload))
        code, text = peer.error()
        assert code == PROTOCOL and text
    asks_status(socket_path)


@pytest.mark.parametrize("version", [0, 2, 4000000000])
def test_another_version_is_refused_with_advice(version, dhatd, socket_path):
    with Peer(socket_path) as peer:
        peer.send(frame(request(STATUS, version=version)))
        code, text = peer.error()
        assert code == PROTOCOL
        assert str(version) in text and "dhatctl" in text


def test_random_bytes(dhatd, socket_path):
    chance = random.Random(5)
    for turn in range(300):
        with Peer(socket_path) as peer:
            payload = bytearray(request(STATUS) if turn % 2 else chance.randbytes(chance.randrange(200)))
            for _ in range(chance.randrange(1, 5)):
                if payload:
                    payload[chance.randrange(len(payload))] = chance.randrange(256)
            peer.send(frame(bytes(payload)))
            if turn % 3 == 0:
                continue  # gone before the answer
            peer.socket.shutdown(socket.SHUT_WR)
            while peer.response() is not None:
                pass
    assert dhatd.running
    asks_status(socket_path)


def test_many_clients_at_once(dhatd, socket_path, tmp_path):
    clients = [subprocess.Popen([BUILD / "dhatctl", "snapshot", "--socket", socket_path, "-o", tmp_path / f"{i}.json"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for i in range(16)]
    assert [c.wait(300) for c in clients] == [0] * 16
    sums = [Profile(tmp_path / f"{i}.json").sums() for i in range(16)]
    assert sums[0]["ebk"] == 1000
    assert all(s == sums[0] for s in sums)


def test_idle_clients_beyond_the_limit(dhatd, socket_path, ctl):
    """32 places: whoever comes later is told that dhatd is busy, and a leaving peer makes room."""
    idle = [Peer(socket_path) for _ in range(32)]

    def is_refused():
        done = ctl("status", ok=False)
        return done.status != 0 and "busy" in done.err
    until(is_refused, "the places to be taken")
    idle.pop().socket.close()
    until(lambda: ctl("status", ok=False).status == 0, "room for one more")
    for peer in idle:
        peer.socket.close()


def test_snapshots_under_load(target, daemon, ctl, tmp_path, socket_path):
    """Consistent in themselves while events keep coming, and nothing is lost by taking them."""
    served = Served(target, tmp_path)
    dhatd = daemon("attach", "--pid", served.pid, "--no-inventory")
    served.start_load(connections=3, pause_us=0)
    last = seen = 0
    for turn in range(8):
        until(lambda: served.requests() > seen + 50, "more requests")
        seen = served.requests()
        ctl("snapshot", "-o", tmp_path / f"{turn}.json")
        profile = Profile(tmp_path / f"{turn}.json")
        leak, sums = profile.with_function("remember_session"), profile.sums()
        assert leak["ebk"] == leak["tbk"] and leak["eb"] == 128 * leak["ebk"]
        assert sums["ebk"] <= sums["tbk"] and sums["eb"] <= sums["gb"]
        # a request is a block for the work and one for the answer, at least
        assert sums["tbk"] >= max(last + 100, 2 * seen)
        last = sums["tbk"]
    served.end_load()
    ctl("snapshot", "-o", tmp_path / "end.json")
    profile, book = Profile(tmp_path / "end.json"), served.book()
    assert profile.allocated_in("service.c")["tbk"] == book["total_blocks"]
    assert profile.allocated_in("service.c")["eb"] == book["live_bytes"]
    assert profile.exact, profile.reasons
    assert dhatd.stop() == 0


def test_peer_that_never_reads_its_snapshot(target, daemon, ctl, socket_path, tmp_path):
    """A large snapshot for somebody who does not take it: the others get theirs."""
    deep = target("recursion", "--gate", "--hold", "100", "50")
    deep.expect("ready")
    dhatd = daemon("attach", "--pid", deep.pid, "--no-inventory")
    deep.say("go")
    deep.expect("total_blocks")
    peers = []
    for _ in range(10):
        peer = Peer(socket_path)
        for _ in range(20):
            peer.send(frame(request(SNAPSHOT)))
        peers.append(peer)
    for _ in range(3):
        asks_status(socket_path)
        ctl("snapshot", "-o", tmp_path / "d.json")
        assert Profile(tmp_path / "d.json").sums()["tbk"] == 5000
    for peer in peers:
        peer.socket.close()
    asks_status(socket_path)
    assert dhatd.stop() == 0


def test_client_that_leaves_in_the_middle(target, daemon, socket_path):
    deep = target("recursion", "--gate", "--hold", "100", "10")
    deep.expect("ready")
    dhatd = daemon("attach", "--pid", deep.pid)
    deep.say("go")
    deep.expect("total_blocks")
    for size in range(1, 60, 3):
        with Peer(socket_path) as peer:
            peer.send(frame(request(SNAPSHOT)))
            peer.socket.recv(size)
    asks_status(socket_path)
    assert dhatd.running
    assert not re.search("panic|assert|sanitizer", dhatd.err, re.I)
