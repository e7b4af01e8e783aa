"""A clean clone builds with any number of jobs, in the README's order too, and is then up to date.

Every rule of every Makefile runs, over all sources, with stand-ins for the tools: they do the least by which a
missing or late prerequisite shows. What a command line names has to be there; sources are preprocessed, so
that generated headers have to be there, too (what a build has found is asked for); and whatever makes
something that others need is slow. So a build of everything takes seconds, and an order of jobs that can fail fails
every time.
"""
import os
import shutil
import subprocess

import pytest

from conftest import ROOT

@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """The variables and environment of make that put stand-ins for all tools."""
    folder = tmp_path_factory.mktemp("tools")
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-Wall", "-o", folder / "stand_in", ROOT / "tests/e2e/stand_in.c"], check=True)

    def add(name):
        (folder / name).symlink_to("stand_in")
        return folder / name

    variables = [f"{variable}={add(name)}" for variable, name in (
        ("CC", "cc"), ("CXX", "cxx"), ("CLANG", "clang"), ("BPFTOOL", "bpftool"), ("RUSTC", "rustc"),
        ("CARGO", "cargo"))]
    for name in "musl-gcc", "objcopy", "strip", "mkdir", "cp", "mv", "protoc-c":
        add(name)
    (folder / "readelf").symlink_to("/bin/true")  # counts the instructions that there are not
    return variables, {"PATH": f"{folder}:{os.environ['PATH']}", "KNOWN": str(ROOT)}


def clone(folder):
    """The tree as it would be committed now."""
    names = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           capture_output=True, check=True).stdout.decode().split("\0")
    for name in names:
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def ways(folder, jobs):
    """Ways from nothing: goals, one make after the other. More jobs than CPUs need nobody's order to go wrong."""
    bench = [f"build/{path.relative_to(folder).with_suffix('')}" for path in (folder / "tests/bench").glob("*.c")
             if not path.name.endswith(".bpf.c")]
    everything = ["test-programs", *bench]
    if jobs <= 2:
        yield [["all", "build/tests/targets/demo_service"], everything]  # README's: make demo, make test
    else:
        yield [everything]
    yield [["targets"]]


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_clean_clone(jobs, tools, tmp_path):
    variables, changes = tools
    # the runner may itself have been started by make
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))} | changes
    env["SLOW"] = {1: "0", 2: "20000", 8: "50000"}[jobs]

    def make(goals):
        done = subprocess.run(["make", "--no-print-directory", "-C", tmp_path, f"-j{jobs}", *goals, *variables],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        return done.stdout.splitlines()

    clone(tmp_path)
    for way in ways(tmp_path, jobs):
        shutil.rmtree(tmp_path / "build", ignore_errors=True)
        first = [line.split()[0] for goals in way for line in make(goals)]
        assert first.count("TARGET") > 30
        if way != [["targets"]]:
            assert {"PROTOC", "BPF", "SKEL"} <= set(first) and first.count("LINK") > 50
            assert first.count("CC") > 60 and first.count("FUZZ") > 60
        again = [line for line in make(way[-1]) if line.startswith("  ")]
        assert all(line.split()[0] == "TARGETS" for line in again), again  # a family is asked each time
