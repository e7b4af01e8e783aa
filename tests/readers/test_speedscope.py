"""speedscope's npm release, in headless Chromium, shows our sums: of each metric, of both sides of a difference, and of the
other formats of ours that it reads. Fetched by npm: make test-readers."""
import base64
import json
import re
import subprocess
import sys

import pytest

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
# pylint: disable=wrong-import-position
from browser import Browser  # noqa: E402
from conftest import BUILD, DEADLINE, TARGETS, until  # noqa: E402
from dhat_file import frame_message, write  # noqa: E402
from oracle import Profile  # noqa: E402

VERSION = "1.25.0"
FIELDS = {"live-bytes": "eb", "live-blocks": "ebk", "peak-bytes": "gb", "peak-blocks": "gbk", "total-bytes": "tb",
          "total-blocks": "tbk"}
UNITS = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


@pytest.fixture(scope="module")
def page():
    """The address of the release, which npm has kept or fetches."""
    folder = BUILD / "readers"
    index = folder / "node_modules/speedscope/dist/release/index.html"
    package = folder / "node_modules/speedscope/package.json"
    if not package.exists() or json.loads(package.read_text())["version"] != VERSION:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": {"speedscope": VERSION}}))
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], cwd=folder,
                       check=True, stdout=subprocess.DEVNULL)
    return index.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as running:
        # rows of a table that are not seen are not there
        running._ask("POST", running.session + "/window/rect", {"width": 1400, "height": 30000})
        yield running


def ctl(*argv):
    subprocess.run([BUILD / "dhatctl", *argv], check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)


def press(browser, key):
    browser.run(f"window.dispatchEvent(new KeyboardEvent('keypress', {{ key: {json.dumps(key)} }}))")


def text_of(browser):
    return browser.run("return document.body.innerText")


def show(browser, page, path):
    """As speedscope's own command does: a script that hands it the file. Then its table of functions."""
    script = path.with_suffix(".js")
    content = base64.b64encode(path.read_bytes()).decode()
    script.write_text(f"speedscope.loadFileFromBase64({json.dumps(path.name)}, {json.dumps(content)})")
    browser.open("about:blank")
    browser.open(f"{page}#localProfilePath={script}")
    until(lambda: "Sandwich" in text_of(browser), "speedscope to show the file")
    press(browser, "3")
    until(lambda: "Symbol Name\n" in text_of(browser), "the table of functions")


def self_values(text):
    """[(number, unit)] of the table's column Self: "71.00 KB (100%)", "1,234 (99%)". Lines: total, self, name."""
    rows = text.partition("Symbol Name\n")[2].split("\n")
    cells = [re.match(r"\t?([\d,.]+)(?: (\w+))? \(", cell) for cell in rows[1::3]]
    assert cells and all(cells), rows[:9]
    return [(float(cell[1].replace(",", "")), cell[2]) for cell in cells]


def check_sum(text, wanted, unit):
    """What the rows have by themselves is the whole, as exactly as it is shown."""
    values = self_values(text)
    assert all((shown_unit in UNITS) == (unit == "bytes") for number, shown_unit in values if number), values
    total = sum(number * UNITS.get(shown_unit, 1) for number, shown_unit in values)
    doubt = sum(0.005 * UNITS[shown_unit] for _, shown_unit in values if shown_unit not in (None, "B"))
    assert abs(total - wanted) <= doubt, (total, wanted, doubt)


def profiles(browser, count):
    """The text of each, by its title: "live-bytes (1/6)"."""
    def titled(number):
        text = text_of(browser)
        title = re.search(rf"^(.*) \({number}/{count}\)$", text, re.M)
        return (title[1], text) if title else None

    shown = {}
    for number in range(1, count + 1):
        title, shown_text = until(lambda: titled(number), f"profile {number} of {count}")
        shown[title] = shown_text
        press(browser, "n")
    return shown


@pytest.fixture(scope="module")
def dhat(tmp_path_factory):
    """A C++ program with overloads, templates and inlined functions."""
    path = tmp_path_factory.mktemp("speedscope") / "cxx.dhat"
    subprocess.run([BUILD / "dhatd", "run", "--socket", path.with_suffix(".sock"), "-o", path, "--", TARGETS / "stacks_cxx",
                    "3"], check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
    ctl("export", path, "-o", path.with_suffix(".json"))
    return path


def test_each_metric(browser, page, dhat):
    ctl("export", dhat, "-o", dhat.with_suffix(".speedscope.json"))
    show(browser, page, dhat.with_suffix(".speedscope.json"))
    sums, shown = Profile(dhat.with_suffix(".json")).sums(), profiles(browser, len(FIELDS))
    assert set(shown) == set(FIELDS)
    for name, text in shown.items():
        check_sum(text, sums[FIELDS[name]], name.rpartition("-")[2])
    # of each function a row, inlined ones, too: what it was inlined into is not all that is left
    named = {frame["name"] for frame in json.loads(dhat.with_suffix(".speedscope.json").read_text())["shared"]["frames"]}
    rows = {line.strip() for line in shown["total-bytes"].split("\n")}
    assert not {re.sub(r"\s+", " ", name) for name in named} - rows - {"[root]"}  # which is in no stack
    assert any(re.search(r"__new_allocator<.*>::allocate", name) for name in named)


def test_the_metric_that_was_asked_for_comes_first(browser, page, dhat):
    ctl("export", dhat, "-o", dhat.with_suffix(".peak.speedscope.json"), "--metric", "peak")
    show(browser, page, dhat.with_suffix(".peak.speedscope.json"))
    assert "peak-bytes (3/6)" in text_of(browser)


def test_a_difference(browser, page, tmp_path):
    def figures(live, blocks):
        return {"live_bytes": live, "live_blocks": blocks, "total_bytes": live, "total_blocks": blocks}

    frames = [frame_message(0x1000 * i, name, f"src/{name}.c", i) for i, name in enumerate(("leak", "cache", "main"), 1)]
    write(tmp_path / "a.dhat", frames, [([1, 3], figures(1000, 10)), ([2, 3], figures(900, 9))])
    write(tmp_path / "b.dhat", frames, [([1, 3], figures(1500, 16)), ([2, 3], figures(600, 7))], taken_ns=190 * 10**9)
    path = tmp_path / "d.speedscope.json"
    ctl("diff", tmp_path / "a.dhat", tmp_path / "b.dhat", "-o", path)
    show(browser, page, path)
    shown = profiles(browser, len(json.loads(path.read_text())["profiles"]))
    for name, wanted in ("live-bytes grown", 500), ("live-bytes shrunk", 300), ("live-blocks grown", 6), \
            ("live-blocks shrunk", 2):
        check_sum(shown[name], wanted, "bytes" if "bytes" in name else "blocks")


@pytest.mark.parametrize("suffix, unit", [(".pb.gz", "bytes"), (".folded", "none")])
def test_other_formats(browser, page, dhat, suffix, unit):
    """It shows pprof's default metric, and of folded text the numbers."""
    ctl("export", dhat, "-o", dhat.with_suffix(suffix), "--metric", "total")
    show(browser, page, dhat.with_suffix(suffix))
    check_sum(text_of(browser), Profile(dhat.with_suffix(".json")).sums()["tb"], unit)
