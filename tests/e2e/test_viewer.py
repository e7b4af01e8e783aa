"""What we write opens in Valgrind's own viewer, in a real browser, and shows what leaks."""
import re

import pytest

from browser import Browser
from conftest import BUILD, until
from oracle import Profile
from served import SESSION_BYTES, Served

VIEWER = "file:///usr/libexec/valgrind/dh_view.html"


@pytest.fixture
def leak(target, daemon, ctl, tmp_path):
    """A profile of the leaky service under load."""
    served = Served(target, tmp_path)
    daemon("attach", "--pid", served.pid)
    served.start_load(connections=2, requests=500, pause_us=0)
    served.end_load()
    path = tmp_path / "leak.json"
    ctl("snapshot", "-o", path)
    return path


def text_of(browser, wanted):
    def shown():
        text = browser.run("return document.body.innerText")
        return text if wanted in text else None
    return until(shown, f"the viewer to show {wanted!r}")


def sort_by(browser, metric):
    browser.run(f"""const select = document.querySelector("select");
        select.value = [...select.options].find(o => o.text == "{metric}").value;
        select.dispatchEvent(new Event("change"));""")


def test_profile_in_the_viewer(leak, tmp_path):
    profile = Profile(leak)
    sums = profile.sums()
    with Browser(tmp_path) as browser:
        browser.open(VIEWER)
        browser.type_into("input[type=file]", str(leak))
        text = text_of(browser, "PP 1/1")
        root = text.partition("PP 1/1")[2]
        for label, size, blocks in (("Total", "tb", "tbk"), ("At t-gmax", "gb", "gbk"), ("At t-end", "eb", "ebk")):
            line = re.search(rf"{label}:\s+([\d,]+) bytes .*? in ([\d,]+) blocks", root)
            assert [int(n.replace(",", "")) for n in line.groups()] == [sums[size], sums[blocks]], label
        assert "Command: " in text and "/service " in text

        sort_by(browser, "At t-end (bytes)")
        text = text_of(browser, "remember_session")
        leaked = re.search(r"At t-end:\s+([\d,]+) bytes[^\n]* in ([\d,]+) blocks[^#]*(#|\^)[^}]*remember_session",
                           text.partition("PP 1.")[2])
        assert leaked, text
        assert re.search(r"0x[0-9A-F]+: remember_session \(.*service\.c:\d+", text)
        assert f"{100 * SESSION_BYTES:,} bytes" in text  # 1,000 requests, one in ten forgotten
        browser.screenshot(BUILD / "viewer.png")


def test_every_metric_of_the_viewer(leak, tmp_path):
    """Each of the viewer's sort metrics that our profile has the data for renders without an error."""
    with Browser(tmp_path) as browser:
        browser.open(VIEWER)
        browser.type_into("input[type=file]", str(leak))
        text_of(browser, "PP 1/1")
        metrics = browser.run("return [...document.querySelectorAll('select option')].map(o => o.text)")
        assert "At t-end (bytes)" in metrics
        for metric in metrics:
            if re.search("reads|writes|access", metric, re.I):
                continue
            sort_by(browser, metric)
            assert "PP 1/1" in text_of(browser, "Allocated at"), metric


def test_blocks_from_before_have_no_lifetimes(target, daemon, ctl, tmp_path):
    """The viewer divides lifetimes by the blocks in the totals; of those from before the attach there are none."""
    old = target("/usr/bin/python3", "-c", "input('ready\\n'); kept = [bytearray(5000) for _ in range(100)]; print('done', flush=1); input()")
    old.expect("ready")
    daemon("attach", "--pid", old.pid)
    old.say("go")
    old.expect("done")
    ctl("snapshot", "-o", tmp_path / "old.json")
    before = [p for p in Profile(tmp_path / "old.json").points if not p["tbk"]]
    assert before and before[0]["ebk"] > 100
    with Browser(tmp_path) as browser:
        browser.open(VIEWER)
        browser.type_into("input[type=file]", str(tmp_path / "old.json"))
        text_of(browser, "PP 1/1")
        sort_by(browser, "At t-end (bytes)")
        text = text_of(browser, "[allocated before attach]")
    assert "∞ µs" not in text and "NaN" not in text.partition("Invocation")[2], text
    shares = [float(s) for s in re.findall(r"\(([\d.]+)% of program duration\)", text)]
    assert shares and max(shares) <= 100, text
