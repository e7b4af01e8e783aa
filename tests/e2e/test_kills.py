"""P1: a dhatd that is killed at any moment leaves its target as it found it.

`make test-kill` does many more of these, and prints figures."""
import signal
from pathlib import Path

import pytest

from conftest import BUILD, until
from kills import COPIES, LINKS, UNPRIVILEGED, WAYS, Kills, Run


@pytest.fixture
def kills(tmp_path):
    started = []

    def start(**options):
        started.append(Kills(BUILD, tmp_path, **options))
        return started[-1]

    yield start
    for each in started:
        each.close()


# The kernel takes perf links out one after the other, in seconds: fewer of them.
@pytest.mark.parametrize("link, rounds", [("session", 3), ("multi", 3), ("perf", 1)])
def test_killed_at_any_moment(link, rounds, kills):
    runs = kills(seed=7)
    assert runs.are_pinned(link)
    for _ in range(rounds):
        for way in WAYS:
            runs.once(way, link)
    assert runs.tries == rounds * len(WAYS)
    assert runs.left == runs.slow == 0, (runs.figures(), runs.places)


@pytest.mark.parametrize("link", [link for link in LINKS if link != "perf"])
def test_killed_without_the_right_to_mount(link, kills):
    """Links cannot be pinned then: a child lets go of them."""
    runs = kills(seed=7, command=UNPRIVILEGED)
    assert not runs.are_pinned(link)
    for way in WAYS:
        runs.once(way, link)
    assert runs.left == runs.slow == 0, (runs.figures(), runs.places)


# 10 times in 60 kills something was left, before there were guards.
@pytest.mark.parametrize("link, rounds, command", [("session", 12, ()), ("multi", 12, ()), ("perf", 2, ()),
                                                   ("session", 6, UNPRIVILEGED), ("multi", 6, UNPRIVILEGED)],
                         ids=["session", "multi", "perf", "session, unprivileged", "multi, unprivileged"])
def test_killed_between_two_places(link, rounds, command, kills):
    """One offset of a file that is mapped many times: the kernel places them in one call."""
    runs = kills(seed=7, command=command, copies=COPIES)
    for _ in range(rounds):
        runs.once("placing", link)
    assert runs.tries == rounds
    assert runs.left == runs.slow == 0, (runs.figures(), runs.places)


def test_killed_before_it_knows_of_the_stop(tmp_path):
    """`dhatd run`: the program stands still in exec, and dhatd dies before it has taken notice. A SIGTRAP that stopped it would be
    delivered then."""
    program = BUILD / "tests/targets/pairs"
    for i in range(8):
        run = Run([BUILD / "dhatd", "run", "--socket", tmp_path / "run.sock"], program, tmp_path)
        while not run.pid:
            run.find()
        run.proc.send_signal(signal.SIGSTOP)
        until(lambda: Path(f"/proc/{run.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "tS", "the stop, or to be past it")
        run.proc.kill()
        run.proc.wait()
        assert run.lives(), i
        run.close()
