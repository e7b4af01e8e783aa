"""The Makefile's promises: help, installation, what is missing, what a change rebuilds."""
import os
import re
import subprocess

from conftest import BUILD, ROOT

VERSION_1_TARGETS = "all deps demo test check bench lint format install uninstall clean help".split()


def make(*args, ok=True):
    # the runner may itself have been started by make
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", "-C", str(ROOT), *args], capture_output=True, text=True, env=env,
                          stdin=subprocess.DEVNULL, timeout=200)
    if ok:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_help_lists_all_targets():
    listed = re.findall(r"^  make (\S+) ", make("--no-print-directory", "help").stdout, re.M)
    assert set(VERSION_1_TARGETS) <= set(listed)
    phony = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(listed) <= set(phony)


def test_missing_packages_are_named_in_one_sentence():
    done = make("all", "CLANG=clang-is-not-here", "O=/nonexistent", ok=False)
    assert done.returncode != 0
    assert re.fullmatch(r"Makefile:\d+: \*\*\* missing: clang; run: sudo make deps\.  Stop\.\n", done.stderr)


def test_deps_knows_what_is_installed(tmp_path):
    dpkg = tmp_path / "dpkg-query"  # a machine that has nothing but gcc
    dpkg.write_text("#!/bin/sh\necho installed gcc\n")
    dpkg.chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([ROOT / "tests/deps", "-n", "build", "bench"], env=env, capture_output=True, text=True)
    wanted = done.stdout.split()
    assert done.returncode == 0
    assert {"clang", "bpftool", "libbpf-dev", "libdw-dev", "g++"} <= set(wanted)
    assert "gcc" not in wanted
    assert len(wanted) == len(set(wanted))


def test_install_and_uninstall(tmp_path):
    # as this build was made, or it would be made again
    flags = re.findall(r"\b(?:SAN|DEBUG|COVERAGE)=\S+", os.environ.get("MAKEFLAGS", ""))
    where = [f"O={os.path.relpath(BUILD, ROOT)}", f"DESTDIR={tmp_path}", "PREFIX=/opt/x", *flags]
    make("install", *where)
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {"opt/x/sbin/dhatd", "opt/x/bin/dhatctl", "opt/x/share/man/man8/dhatd.8",
                     "opt/x/share/man/man1/dhatctl.1"}
    # nothing of the checkout is needed at run time
    version = subprocess.run([tmp_path / "opt/x/sbin/dhatd", "--version"], cwd="/", capture_output=True, text=True)
    assert version.stdout.startswith("dhatd ")
    make("uninstall", *where)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_change_of_flags_rebuilds(tmp_path):
    build = f"O={tmp_path / 'o'}"
    first = make("--no-print-directory", build, str(tmp_path / "o/proto/base/error.o")).stdout
    again = make("--no-print-directory", build, str(tmp_path / "o/proto/base/error.o")).stdout
    debug = make("--no-print-directory", build, "DEBUG=1", str(tmp_path / "o/proto/base/error.o")).stdout
    loud = make("--no-print-directory", build, "DEBUG=1", "V=1", "-W", "proto/base/error.c",
                str(tmp_path / "o/proto/base/error.o")).stdout
    assert "CC       proto/base/error.c" in first
    assert "CC" not in again
    assert "CC       proto/base/error.c" in debug
    assert " -O0 " in loud and "-Werror" in loud
