"""What takes longer than a second is told on a terminal."""
import os
import pty
import signal
import subprocess

from conftest import BUILD, DEADLINE, until


def test_a_dhatd_that_does_not_answer_yet(target, daemon, ctl, tmp_path):
    program = target("waves")
    program.expect("ready")
    dhatd = daemon("attach", "--pid", program.pid)
    terminal, inside = pty.openpty()
    os.set_blocking(terminal, False)
    shown = b""

    def read():
        nonlocal shown
        try:
            shown += os.read(terminal, 4096)
        except BlockingIOError:
            pass
        return shown

    dhatd.send_signal(signal.SIGSTOP)
    try:
        asked = subprocess.Popen([BUILD / "dhatctl", "stats", "--socket", tmp_path / "dhatd.sock", str(program.pid)],
                                 stderr=inside, stdout=subprocess.DEVNULL)
        until(lambda: b"fetching the profile: 2 s" in read(), "progress")
    finally:
        dhatd.send_signal(signal.SIGCONT)
    assert asked.wait(DEADLINE) == 0
    assert read().endswith(b"\r\033[K") and shown.startswith(b"\r\033[Kfetching the profile: 1 s")

    for end in terminal, inside:
        os.close(end)
