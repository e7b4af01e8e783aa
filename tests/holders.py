#!/usr/bin/python3
"""make test-holders: what `dhatctl holds', LeakSanitizer and memcheck say of the same blocks of the same programs.

tests/holders.py [-O DIR]
tests/targets/holders.c holds blocks in every way there is, and loses some; each kind is allocated in a function of its
own, whose name tells the truth. Then the same of what people own blocks by: shared_ptr, Rc, Tokio's tasks, GObjects,
Python's objects (holders_by_owner.py). Tables of all three verdicts, in which * is a wrong one, go to DIR/holders.txt,
too. Judged is ours alone: nothing held is called lost, and of what is lost at most 2 % is not (more with jemalloc, and in
Python). The last line: N passed, N failed, N skipped.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import holders_by_owner

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120
MEMCHECK = {"still reachable": "held", "definitely lost": "lost", "indirectly lost": "lost", "possibly lost": "maybe lost"}


class Program:
    """Tells on its output how far it is."""

    def __init__(self, *argv, env=None, log=None):
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env, text=True)
        self.expect("ready")
        self.ask("make", "made")

    def expect(self, word):
        for line in self.proc.stdout:
            if line.strip() == word:
                return
        sys.exit(f"holders: {self.proc.args} has ended before it was {word}")

    def ask(self, question, word):
        self.proc.stdin.write(question + "\n")
        self.proc.stdin.flush()
        self.expect(word)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.kill()
        self.proc.wait()


def add(verdicts, function, verdict, blocks):
    kind = verdicts.setdefault(function.split("(")[0], {})
    kind[verdict] = kind.get(verdict, 0) + blocks


def ask_dhatd(build, tmp):
    """{function: {verdict: blocks}}"""
    verdicts, socket = {}, tmp / "dhatd.sock"
    with subprocess.Popen([build / "tests/targets/holders"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as early:
        early.stdout.readline()
        dhatd = subprocess.Popen([build / "dhatd", "attach", "--pid", str(early.pid), "--socket", socket],
                                 stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + PATIENCE
            while subprocess.run([build / "dhatctl", "stats", "--socket", socket], capture_output=True).returncode:
                if time.monotonic() > until:
                    sys.exit("holders: dhatd does not attach")
                time.sleep(0.1)
            early.stdin.write("make\n")
            early.stdin.flush()
            early.stdout.readline()
            told = json.loads(subprocess.run(
                [build / "dhatctl", "holds", "--json", "--by", "function", "--top", "1000", "--socket", socket],
                capture_output=True, check=True, timeout=PATIENCE).stdout)
        finally:
            dhatd.terminate()
            dhatd.wait(PATIENCE)
            early.kill()
    if told["holds"]["refusals"]:
        sys.exit(f"holders: lost is not said: {told['holds']['refusals']}")
    for row in told["rows"]:
        for verdict in "held", "unknown", "lost", "unseen":
            if row[f"{verdict}_blocks"]:
                add(verdicts, row["name"].split(" ")[0], verdict, row[f"{verdict}_blocks"])
    return verdicts


def ask_leak_sanitizer(tmp):
    """Of what it does not name it says that it is held."""
    verdicts, path, log = {}, tmp / "holders-lsan", tmp / "lsan.txt"
    subprocess.run(["gcc", "-O1", "-g", "-pthread", "-fsanitize=leak", "-o", path, ROOT / "tests/targets/holders.c"], check=True)
    with open(log, "w", encoding="utf-8") as file, \
            Program(path, env={"LSAN_OPTIONS": "exitcode=0:fast_unwind_on_malloc=0"}, log=file) as program:
        program.ask("check", "checked")
    for blocks, function in re.findall(r"^(?:Direct|Indirect) leak of \d+ byte\(s\) in (\d+) object.*\n.*\n +#1 \S+ in (\w+)",
                                       log.read_text(), re.M):
        add(verdicts, function, "lost", int(blocks))
    return verdicts


def ask_memcheck(build, tmp):
    verdicts = {}
    with Program("valgrind", "--leak-check=no", f"--log-file={tmp / 'memcheck.txt'}", f"--vgdb-prefix={tmp / 'vgdb'}",
                 build / "tests/targets/holders") as program:
        text = subprocess.run(["vgdb", f"--vgdb-prefix={tmp / 'vgdb'}", f"--pid={program.proc.pid}", "leak_check", "full",
                               "reachable", "any"], capture_output=True, text=True, timeout=PATIENCE).stdout
    records = re.findall(r"bytes in ([\d,]+) blocks? (?:is|are) (still reachable|[a-z]+ lost) in loss record.*\n"
                         r"==\d+==    at .*: malloc .*\n==\d+==    by \S+: (\w+)", text)
    if not records:
        sys.exit(f"holders: memcheck says nothing: {text[:400]}")
    for blocks, what, function in records:
        add(verdicts, function, MEMCHECK[what], int(blocks.replace(",", "")))
    return verdicts


def told(verdicts, truth, total):
    """As a cell: the verdicts, a wrong one marked. Nothing said is held, to LeakSanitizer."""
    verdicts = dict(verdicts)
    verdicts["held"] = verdicts.get("held", 0) + total - sum(verdicts.values())
    verdicts = {verdict: blocks for verdict, blocks in verdicts.items() if blocks > 0}
    cell = " + ".join(verdict if blocks == total else f"{blocks:,} {verdict}"
                      for verdict, blocks in sorted(verdicts.items(), key=lambda item: -item[1]))
    wrong = sum(blocks for verdict, blocks in verdicts.items()
                if (verdict in ("lost", "maybe lost") if truth == "held" else verdict == "held"))
    return cell + (" *" if wrong * 50 > total else ""), wrong


def line_of(kind, total, cells):
    return f"{kind:<42} {total:>6,}  {cells[0]:<36} {cells[1]:<24} {cells[2]}"


def by_kind(judges):
    """Lines of holders.c's kinds, how many of each judge are wrong, and how many of ours fail."""
    lines, failed, wrong = [], 0, dict.fromkeys(judges, 0)
    for kind, ours in sorted(judges["holds"].items()):
        truth = {"held": "held", "tagged": "held", "lost": "lost"}.get(kind.split("_")[0])
        if not truth:
            continue
        total, cells = sum(ours.values()), []
        for judge, verdicts in judges.items():
            cell, count = told(verdicts.get(kind, {}), truth, total)
            cells.append(cell)
            wrong[judge] += cell.endswith("*")
            failed += judge == "holds" and (count > 0 if truth == "held" else count * 50 > total)
        lines.append(line_of(kind, total, cells))
    return lines, wrong, failed


def by_owner(build, tmp):
    """The same of holders_by_owner.py's."""
    lines, failed, wrong = [], 0, {"holds": 0, "LeakSanitizer": 0, "memcheck": 0}
    for kind, judges in holders_by_owner.ask(build, tmp):
        cells = []
        for judge, verdicts in judges.items():
            cell, _ = told(verdicts, kind.truth, kind.blocks) if verdicts is not None else ("-", 0)
            cells.append(cell)
            wrong[judge] += cell.endswith("*")
        lost = judges["holds"].get("lost", 0)
        failed += lost > 0 if kind.truth == "held" else lost < kind.at_least * kind.blocks
        lines.append(line_of(kind.name, kind.blocks, cells))
    return lines, wrong, failed


def sum_up(lines, wrong):
    return ["wrong of %d kinds: %s" % (len(lines), ", ".join(f"{judge} {count}" for judge, count in wrong.items())), ""]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-O", dest="build", type=Path, default=ROOT / "build")
    build = parser.parse_args().build.resolve()
    with tempfile.TemporaryDirectory(prefix="dhatd-holders-") as tmp:
        tmp = Path(tmp)
        kinds, wrong, failed = by_kind({"holds": ask_dhatd(build, tmp), "LeakSanitizer": ask_leak_sanitizer(tmp),
                                        "memcheck": ask_memcheck(build, tmp)})
        owners, wrong_owners, failed_owners = by_owner(build, tmp)
    head = line_of("allocated by", 0, ["dhatctl holds", "LeakSanitizer", "memcheck"]).replace("     0", "blocks")
    text = "\n".join([head, *kinds, "", *sum_up(kinds, wrong), head.replace("allocated by", "owned by    "), *owners, "",
                      *sum_up(owners, wrong_owners), "-: it cannot be run there"]) + "\n"
    (build / "holders.txt").write_text(text)
    print(text)
    count = len(kinds) + len(owners)
    failed += failed_owners
    print(f"{count - failed} passed, {failed} failed, 0 skipped")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
