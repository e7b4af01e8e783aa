"""The borders between the source's folders hold, and tests/layers would tell if one did not."""
import re
import runpy
import subprocess

from conftest import ROOT

LAYERS = runpy.run_path(str(ROOT / "tests/layers"))


def test_the_tree_has_no_upward_include():
    done = subprocess.run([ROOT / "tests/layers"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_refused():
    def complaints(path, *includes):
        return list(LAYERS["complaints"](path, "".join(f"#include {name}\n" for name in includes)))

    # upwards, by a path and within a folder that does not exist
    assert "stands above" in complaints("daemon/account/heap.c", '"daemon/target/target.h"')[0]
    assert "stands above" in complaints("proto/base/text.c", '"proto/wire/frame.h"')[0]
    assert not complaints("daemon/target/target.c", '"daemon/account/heap.h"', '"target.h"', "<stdio.h>")
    # the decoders, in any spelling, for the confined worker only
    for name in "<libelf.h>", "<gelf.h>", "<elfutils/libdw.h>", "<dwarf.h>", "<Zydis/Zydis.h>", "<libiberty/demangle.h>":
        assert "is for daemon/object/ only" in complaints("daemon/lookup/tables.c", name)[0], name
        assert not complaints("daemon/object/cfi/cfi.c", name)
    # and what is behind their headers as well, however far
    for name in "elf/object.h", "sites/allocators.h", "sites/surveyor.h", "families/family.h", "cfi/cfi.h", "machine/flow.h":
        for path in "daemon/target/probing.c", "daemon/serve/plan.c", "daemon/worker/worker.c", "daemon/main.c":
            assert "behind which the worker decodes" in complaints(path, f'"daemon/object/{name}"')[0], (path, name)
        assert not complaints("daemon/worker/worker_main.c", f'"daemon/object/{name}"')
    for name in "elf/object_desc.h", "sites/survey.h", "sites/custom.h", "sites/hidden.h", "cfi/cfi_table.h", "machine/trap.h":
        assert not complaints("daemon/target/probing.c", f'"daemon/object/{name}"'), name
    # dhatctl and dhatd meet in proto/
    assert "dhatd's inside" in complaints("cli/main.c", '"daemon/options.h"')[0]
    assert "has no floor" in complaints("daemon/elsewhere/new.c", "<stdio.h>")[0]


def test_machines_are_named_in_their_folders():
    def words(text, path="daemon/account/heap.c"):
        return list(LAYERS["machine_words"](path, text))

    for text in "rsp is the", "machine != EM_X86_64", "an int3", "code[i] == 0xe8", "x86-64 only", "R_X86_64_RELATIVE", "(%rip)":
        assert "in its own folder" in words(f"a\n/* {text} */")[0], text
        assert words(text)[0].startswith("daemon/account/heap.c:1:")
        assert not words(text, "daemon/object/x86_64/flow.c") and not words(text, "bpf/x86_64.h")
    assert not words("strip, print32, 0xe80, 4096, sip, box, rsi_index")


def test_documents_name_what_is_there():
    floors = set(LAYERS["FLOORS"])
    for document in "ARCHITECTURE.md", "CONTRIBUTING.md", "README.md":
        text = (ROOT / document).read_text()
        paths = set(re.findall(r"`((?:bpf|daemon|cli|proto|tests)/[\w/.]*)`", text))
        missing = sorted(p for p in paths if not (ROOT / p).exists() and "NAME" not in p)
        assert not missing, document
    listed = re.findall(r"^\| `([\w/]+)/` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.M)
    assert [f for f in listed if f != "tests"] == [f for f in LAYERS["FLOORS"] if list((ROOT / f).glob("*.[ch]"))]
    assert floors >= set(listed) - {"tests"}
    # a file may be called by the end of its path, as in "`account/heap.c`"
    tree = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    for document in "ARCHITECTURE.md", "CONTRIBUTING.md":
        named = set(re.findall(r"`([\w/.]+\.(?:c|h|py|sh|proto|md))`", (ROOT / document).read_text()))
        missing = sorted(n for n in named if "NAME" not in n and not any(f"/{path}".endswith(f"/{n}") for path in tree))
        assert named and not missing, document
    # the map has twenty questions, and each answer is a place
    rows = re.findall(r"^\| (?!I want to)([^|]+) \| (`[^|]+) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert len(rows) >= 20
    for question, answer in rows:
        places = re.findall(r"`([^`]+)`", answer)
        assert places and all((ROOT / place).exists() for place in places), question
