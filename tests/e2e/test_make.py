"""The Makefile's promises: help, installation, what is missing, what a change rebuilds."""
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from conftest import BUILD, ROOT

USERS = "SAN DEBUG COVERAGE WERROR CC CXX CLANG CFLAGS CPPFLAGS LDFLAGS".split()  # variables that are
VERSION_1_TARGETS = "all deps deps-test demo test check bench lint format install uninstall clean help".split()


def make(*args, ok=True, **environment):
    # the runner may itself have been started by make, which tells its variables to all
    env = {k: v for k, v in os.environ.items() if not re.match("MAKE|MFLAGS|(" + "|".join(USERS) + ")$", k)} | environment
    done = subprocess.run(["make", "-C", str(ROOT), *args], capture_output=True, text=True, env=env,
                          stdin=subprocess.DEVNULL, timeout=600)
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


def without(tmp_path, *commands):
    """A folder of links to all programs of this machine but these."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in ("/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"):
        for program in Path(folder).glob("*"):
            if program.name not in commands and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
    return programs


def test_what_a_goal_wants_beyond_building_is_named(tmp_path):
    """check, lint, format and targets: as `make` does for building, in one sentence, before anything is done."""
    path = without(tmp_path, "clang-tidy", "cppcheck", "clang-format", "shellcheck", "pkg-config")
    asked = path / "pkg-config"
    asked.write_text(f"#!/bin/sh\ncase \"$*\" in *cmocka*) exit 1;; esac\nexec {shutil.which('pkg-config')} \"$@\"\n")
    asked.chmod(0o755)
    for goal, names in (("check", "libcmocka-dev"), ("lint", "clang-format clang-tidy cppcheck shellcheck"),
                        ("format", "clang-format")):
        done = make("-n", goal, f"O={tmp_path / 'o'}", ok=False, PATH=str(path))
        assert done.returncode != 0
        assert re.fullmatch(rf"Makefile:\d+: \*\*\* missing: {names}; run: sudo make deps-test\.  Stop\.\n", done.stderr)
    (path / "dpkg-query").unlink(missing_ok=True)
    (path / "dpkg-query").write_text("#!/bin/sh\necho installed g++\n")
    (path / "dpkg-query").chmod(0o755)
    done = make("-n", "targets", f"O={tmp_path / 'o'}", ok=False, PATH=str(path))
    assert "musl-tools" in done.stderr and " g++" not in done.stderr and "run: sudo make deps-test" in done.stderr


def test_deps_for_building_are_few():
    """What a newcomer needs, and no browser, emulator or server for it."""
    recipe = make("--no-print-directory", "-n", "deps", "V=1").stdout.split()
    assert recipe == ["tests/deps", "build"]


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
    building = subprocess.run([ROOT / "tests/deps", "-n", "build"], env=env, capture_output=True, text=True).stdout.split()
    assert 15 <= len(building) <= 25 and not {"chromium", "qemu-system-x86", "g++", "postgresql"} & set(building)
    whole = subprocess.run([ROOT / "tests/deps", "-n", "test"], env=env, capture_output=True, text=True).stdout.split()
    assert {"libcmocka-dev", "musl-tools", "chromium", "rustc"} <= set(whole)


def test_packages_are_built_with_what_building_needs():
    """The lists of tests/deps and of the Debian packages; a C compiler and make are there where packages are built."""
    control = (ROOT / "daemon/package/debian/control").read_text()
    wanted = re.search(r"^Build-Depends: debhelper-compat \(= 13\),\n((?: .*\n)+)", control, re.M)[1]
    listed = re.search(r"^\tbuild\).*?echo (.*?) ;;", (ROOT / "tests/deps").read_text(), re.M | re.S)[1].replace("\\\n", " ")
    assert set(re.findall(r"[a-z0-9-]+", wanted)) == set(listed.split()) - {"gcc", "libc6-dev", "make"}


def test_install_and_uninstall(tmp_path):
    # as this build was made, or it would be made again
    flags = [word for word in shlex.split(os.environ.get("MAKEFLAGS", "")) if word.split("=")[0] in USERS]
    flags += [f"{name}={os.environ[name]}" for name in USERS if name in os.environ]
    where = [f"O={os.path.relpath(BUILD, ROOT)}", f"DESTDIR={tmp_path}", "PREFIX=/opt/x", *flags]
    make("install", *where)
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {"opt/x/sbin/dhatd", "opt/x/bin/dhatctl", "opt/x/share/man/man8/dhatd.8",
                     "opt/x/share/man/man1/dhatctl.1", "opt/x/lib/systemd/system/dhatd.service",
                     "opt/x/lib/systemd/system/dhatd.socket", "opt/x/share/dhatd/systemd/listen.conf", "opt/x/share/dhatd/systemd/push.conf",
                     "opt/x/share/dhatd/grafana/dhatd.json",
                     "opt/x/share/dhatd/prometheus/dhatd.rules.yml", "opt/x/share/dhatd/prometheus/prometheus.yml",
                     "etc/dhatd.conf",
                     *(f"opt/x/share/{place}{name}" for name in ("dhatd", "dhatctl")
                       for place in ("bash-completion/completions/", "zsh/site-functions/_"))}
    assert "ExecStart=/opt/x/sbin/dhatd " in (tmp_path / "opt/x/lib/systemd/system/dhatd.service").read_text()
    # nothing of the checkout is needed at run time
    version = subprocess.run([tmp_path / "opt/x/sbin/dhatd", "--version"], cwd="/", capture_output=True, text=True)
    assert version.stdout.startswith("dhatd ")
    kept = tmp_path / "var/cache/dhatd"
    kept.mkdir(parents=True)
    (kept / "a-table").write_text("x")
    make("uninstall", *where)
    assert not kept.exists()
    # what somebody may have written stays
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["dhatd.conf"]


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
    assert " -O0 " in loud and "-Werror" not in loud


def test_flags_of_the_user_take_nothing_away(tmp_path):
    """Distributions build with their own flags and with compilers of two words; warnings are errors in CI only."""
    def compiled(*variables):
        shown = make("--no-print-directory", "V=1", "-n", "-W", "proto/base/error.c", f"O={tmp_path / 'o'}", *variables,
                     str(tmp_path / "o/proto/base/error.o")).stdout
        return next(line.split() for line in shown.splitlines() if line.endswith(" proto/base/error.c"))

    needed = {"-std=gnu11", "-D_GNU_SOURCE", "-I.", "-MD", "-Wall"}
    own = compiled("CFLAGS=-O3 -g0 -Wno-format", "CPPFLAGS=-DMINE", "CC=env gcc", "CLANG=env clang")
    assert own[:2] == ["env", "gcc"]
    assert needed | {"-O3", "-g0", "-DMINE", "-D_FORTIFY_SOURCE=2"} <= set(own) and "-O2" not in own
    assert own.index("-Wall") < own.index("-Wno-format")  # what the user says holds
    assert "-Werror" in compiled("WERROR=1") and "-Werror" not in compiled()
    # glibc warns of what it cannot do, and of what is told twice
    assert "-D_FORTIFY_SOURCE=2" not in compiled("CFLAGS=-O0") and "-D_FORTIFY_SOURCE=2" not in compiled("CFLAGS=-g")
    assert "-D_FORTIFY_SOURCE=2" not in compiled("CFLAGS=-O2 -D_FORTIFY_SOURCE=3")
    built = make("--no-print-directory", f"O={tmp_path / 'o'}", "CFLAGS=-O1", "LDFLAGS=-Wl,-O1", "CC=env gcc",
                 str(tmp_path / "o/dhatctl"))
    assert "warning" not in built.stderr
    version = subprocess.run([tmp_path / "o/dhatctl", "--version"], capture_output=True, text=True)
    assert version.stdout.startswith("dhatctl ")


def test_flags_of_a_target_stand_in_the_line_that_asks_for_them():
    """A comment that was wrapped behind "build:" asks for nothing."""
    for source in sorted((ROOT / "tests" / "targets").rglob("*.[cr][cs]*")) + sorted((ROOT / "tests/targets").glob("*.c")):
        for line in source.read_text().splitlines():
            assert not re.search(r"(^|[ */])build: *(\*/)?$", line), f"{source}: {line}"
