"""The report (--format html) in a real browser: its figures are ours, names stay names, a keyboard is enough."""
import json
import re
import subprocess

import pytest

from browser import Browser
from conftest import BUILD, DEADLINE, TARGETS, until
from dhat_file import frame_message, write, write_large
from oracle import Profile

# of all that ends an element, a string, a line; and no UTF-8
HOSTILE = ("</script><script>window.broken = 1</script><!--<script>\u2028\u2029\"'`${window.broken=1}\\\x07\x1b[31m"
           "<img src=x onerror='window.broken = 1'>").encode() + b"\xff\xfe"
SHOWN = "</script><script>window.broken = 1</script><!--<script>??\"'`${window.broken=1}\\??[31m" \
        "<img src=x onerror='window.broken = 1'>\ufffd\ufffd"
# by WebDriver, section 17.4.2
ENTER, ESCAPE, LEFT, UP, RIGHT, DOWN = "\ue007", "\ue00c", "\ue012", "\ue013", "\ue014", "\ue015"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


def show(browser, ctl, dhat, *options):
    """The report of a .dhat file, opened."""
    page = dhat.with_suffix(".html")
    ctl("export", dhat, "-o", page, *options)
    browser.open(page.as_uri())
    return page


def text_of(browser, selector):
    return browser.run(f"return document.querySelector({json.dumps(selector)}).innerText")


def choose(browser, selector, index):
    browser.run(f"""const select = document.querySelector("{selector}"); select.selectedIndex = {index};
        select.dispatchEvent(new Event("change"));""")


def search(browser, text):
    browser.run("document.querySelector('#search').value = ''")
    browser.type_into("#search", text)
    return until(lambda: text_of(browser, "#found"), "what was found")


def number(text):
    """What a figure is exactly: "2.6 MiB (2,711,904 bytes)", "12 bytes", "6,396 blocks"."""
    return int(re.search(r"([\d,]+) (?:bytes?|blocks?)", text)[1].replace(",", ""))


def check_sums(browser, sums):
    """In the cards above, and below the graph for each metric that can be chosen."""
    cards, metrics = browser.run("""
        const select = document.querySelector("#metric"), text = selector => document.querySelector(selector).innerText;
        document.querySelector("#graph").focus();
        return [[...document.querySelectorAll(".total")].map(card => card.innerText),
            [...select.options].map((option, index) => {
                select.selectedIndex = index;
                select.dispatchEvent(new Event("change"));
                return [option.text, text("#table-summary"), text("#spoken")];
            })]""")
    for card, fields in zip(cards, (("eb", "ebk"), ("gb", "gbk"), ("tb", "tbk")), strict=True):
        exact = re.search(r"([\d,]+) bytes in ([\d,]+) blocks?", card)
        assert [int(n.replace(",", "")) for n in exact.groups()] == [sums[field] for field in fields], card
    for (name, summary, spoken), field in zip(metrics, ("eb", "ebk", "gb", "gbk", "tb", "tbk"), strict=True):
        assert number(summary.partition(": ")[2]) == number(spoken) == sums[field], name


def test_sums_of_a_program(browser, ctl, tmp_path):
    """C++ with overloads, templates and inlined functions."""
    dhat = tmp_path / "cxx.dhat"
    subprocess.run([BUILD / "dhatd", "run", "--socket", tmp_path / "s", "-o", dhat, "--", TARGETS / "stacks_cxx", "3"],
                   check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
    ctl("export", dhat, "-o", tmp_path / "cxx.json")
    profile = Profile(tmp_path / "cxx.json")
    show(browser, ctl, dhat)
    check_sums(browser, profile.sums())
    assert text_of(browser, "#verdict") == "exact" and "stacks_cxx" in text_of(browser, "h1")
    choose(browser, "#metric", 4)  # bytes, in all
    found = search(browser, "one_round")
    wanted = profile.sums(lambda p: any("one_round" in f.function for f in profile.frames(p)))
    assert number(found.partition(", ")[2]) == wanted["tb"] > 0


@pytest.fixture
def small(tmp_path):
    """A leak, churn, a cache, all in functions with well-behaved names but one."""
    def figures(live, blocks, total, total_blocks):
        return {"live_bytes": live, "live_blocks": blocks, "total_bytes": total, "total_blocks": total_blocks,
                "peak_bytes": live, "peak_blocks": blocks, "max_bytes": live, "max_blocks": blocks}

    frames = [frame_message(0x1000, "load_session", "src/session.c", 51), frame_message(0x2000, "parse", "src/parse.c", 7),
              frame_message(0x3000, "serve", "src/serve.c", 12), frame_message(0x4000, HOSTILE, HOSTILE, 9)]
    write(tmp_path / "small.dhat", frames, [
        ([1, 3], figures(2_711_904, 6_396, 2_711_904, 6_396)), ([2, 3], figures(0, 0, 10_000_000, 99_999)),
        ([4, 3], figures(40_000, 3, 50_000, 5)), ([], figures(900_000, 5_700, 0, 0), "[allocated before attach]")],
        command=b"./" + HOSTILE + b" --password secret", executable=b"/usr/bin/x " + HOSTILE.replace(b"/", b"|"),
        host=HOSTILE, reasons=[b"lost: " + HOSTILE])
    return tmp_path / "small.dhat"


def test_hostile_names(browser, ctl, small):
    page = show(browser, ctl, small)
    assert b"secret" not in page.read_bytes()
    assert browser.run("return window.broken === undefined && document.scripts.length === 2 && !document.images.length")
    assert SHOWN in text_of(browser, "#reasons") and "drop_alloc 3" in text_of(browser, "#reasons")
    assert text_of(browser, "#verdict") == "inexact"
    assert SHOWN in text_of(browser, "#facts")
    names = browser.run("return [...document.querySelectorAll('tbody button.name')].map(name => name.textContent)")
    assert names == ["load_session", "[allocated before attach]", SHOWN, "parse"]
    browser.run("document.querySelectorAll('tbody button.name').forEach(name => name.click())")
    assert f"{SHOWN} {SHOWN}:9" in text_of(browser, "tbody").replace("\n", "")
    assert search(browser, "<img src=x") .startswith("1 stack, 39.1 KiB (40,000 bytes)")
    assert browser.run("return window.broken === undefined && !document.images.length")


def test_what_leaks_is_said_first(browser, ctl, small):
    """As dhatctl does: by line of one's own code; blocks from before have no part in it."""
    show(browser, ctl, small)
    assert text_of(browser, "#headline") == "Most of what is live: 2.6 MiB (2,711,904 bytes), 98.5% of what was " \
        "allocated since the attach, from load_session at src/session.c:51"
    # nothing is told of the time that is not known
    assert browser.run("""return ["#suspects", "#timeline", "#marks"].every(
        selector => document.querySelector(selector).hidden)""")


LONG_MARK = "x" * 63


@pytest.fixture
def watched(tmp_path):
    """A leak in two stacks and what is level, with marks and a timeline, of which RSS is not always known."""
    def figures(live, blocks, **more):
        return {"live_bytes": live, "live_blocks": blocks, "total_bytes": live, "total_blocks": blocks,
                "peak_bytes": live, "peak_blocks": blocks, "max_bytes": live, "max_blocks": blocks, **more}

    frames = [frame_message(0x1000, "load_session", "src/session.c", 51), frame_message(0x2000, "warm", "src/warm.c", 7),
              frame_message(0x3000, "serve", "src/serve.c", 12), frame_message(0x4000, "retry", "src/serve.c", 40)]
    write(tmp_path / "watched.dhat", frames, [
        ([1, 3], figures(1_500_000, 1500, since=[(1_000_000, 1000), (300_000, 300)], mean_age_us=44_000_000,
                         lows=[i * 100_000 for i in range(16)])),
        ([1, 4], figures(150_000, 150, since=[(100_000, 100)], mean_age_us=44_000_000,
                         lows=[i * 10_000 for i in range(16)])),
        ([2, 3], figures(40_000, 3, mean_age_us=88_000_000, lows=[0] + [40_000] * 15))],
        live=[40_000 + 18_333 * (i + 1) for i in range(90)], rss=[0 if i % 2 else 4 << 20 for i in range(90)],
        marks=[("deploy", 30 * 10**9), (LONG_MARK, 75 * 10**9)])
    return tmp_path / "watched.dhat"


def test_metric_of_a_mark(browser, ctl, watched):
    """In the switch, the graph and the table; the table has no more columns than it needs."""
    show(browser, ctl, watched)
    options = browser.run("return [...document.querySelector('#metric').options].map(option => option.text)")
    assert options[6:] == [f"Since {mark}, {time} UTC, {unit}" for mark, time in
                           (("deploy", "22:13:50"), (LONG_MARK, "22:14:35")) for unit in ("bytes", "blocks")]
    assert text_of(browser, "#marks").splitlines()[0] == "Since deploy, 2023-11-14 22:13:50 UTC: " \
        "1.0 MiB (1,100,000 bytes) in 1,100 blocks allocated since, and live"
    heads = "return [...document.querySelectorAll('thead .group')].map(head => head.textContent)"
    assert len(browser.run(heads)) == 3
    browser.run("document.querySelector('#marks button').click()")
    assert browser.run("return document.querySelector('#metric').selectedIndex") == 6
    assert browser.run(heads)[3:] == ["Since deploy, 22:13:50 UTC"]
    assert text_of(browser, "#table-summary").endswith("since deploy, 22:13:50 UTC 1.0 MiB (1,100,000 bytes), 100.0%")
    rows = browser.run("return [...document.querySelectorAll('tr.stack')].map(row => row.innerText.split(/\\t/))")
    assert [(row[0], row[7:9]) for row in rows] == [
        ("90.9%", ["977 KiB", "1,000"]), ("9.09%", ["97.7 KiB", "100"]), ("0.0%", ["0 B", "0"])], rows
    browser.type_into("#graph", DOWN)
    assert "Since deploy, 22:13:50 UTC: 977 KiB (1,000,000 bytes), 90.9% of all" in text_of(browser, "#spoken")
    choose(browser, "#metric", 9)
    assert "300 blocks" in text_of(browser, "#table-summary")


def test_births(browser, ctl, watched):
    """Of a mark alone: it is said of what, and the sums are those of its metric in the whole report."""
    page = watched.with_name("births.html")
    ctl("stats", "--since", "deploy", "-o", page, watched)
    browser.open(page.as_uri())
    assert text_of(browser, "#program") == "What was allocated since deploy and lives in the heap of service"
    assert " was allocated since deploy and lives: " in text_of(browser, "#headline")
    cards = browser.run("return [...document.querySelectorAll('.total')].map(card => card.innerText)")
    born = ctl("stats", "--since", "deploy", "--json", watched).json()["births"]
    assert all(number(card.partition("\n")[2]) == born["live_bytes"] for card in cards) and len(cards) == 3


def test_timeline(browser, ctl, watched):
    """Drawn to scale, with the peak and the marks; told in words, and as a table."""
    show(browser, ctl, watched)
    drawn = browser.run("""
        const svg = document.querySelector("#timeline svg"), text = selector => [...svg.querySelectorAll(selector)]
            .map(element => element.textContent), box = selector => svg.querySelector(selector).getBBox();
        return { marks: text(".mark text"), titles: text(".mark title"), peak: text("text.peak"),
            scales: [...svg.querySelectorAll(":scope > text:not(.peak)")].map(element => element.textContent),
            paths: [".live", ".most", ".rss"].map(selector => svg.querySelector(selector).getAttribute("d").length),
            inside: [...svg.querySelectorAll("*")].every(element => element.tagName === "title" ||
                element.getBBox().x >= 0 && element.getBBox().x + element.getBBox().width <= svg.viewBox.baseVal.width),
            height: box("path.most").height / box("path.rss").y, role: svg.getAttribute("role"),
            words: document.getElementById(svg.getAttribute("aria-describedby")).textContent };""")
    assert drawn["marks"] == ["deploy", LONG_MARK[:27] + "…"]
    assert drawn["titles"] == ["deploy, 2023-11-14 22:13:50 UTC", f"{LONG_MARK}, 2023-11-14 22:14:35 UTC"]
    assert drawn["peak"] == ["peak 1.6 MiB"] and drawn["role"] == "img" and drawn["inside"]
    assert drawn["scales"][:6] == ["0 B", "1.0 MiB", "2.0 MiB", "3.0 MiB", "4.0 MiB", "22:13:20"]
    assert all(length > 100 for length in drawn["paths"])
    assert drawn["words"] == "Of the whole process: 57.0 KiB live at 2023-11-14 22:13:21 UTC, 1.6 MiB at the peak " \
        "(2023-11-14 22:14:40 UTC), 1.6 MiB at the end; RSS from 4.0 MiB to 4.0 MiB."
    browser.screenshot(BUILD / "report.png")  # to be looked at
    browser.run("document.querySelector('#timeline summary').click()")
    rows = until(lambda: browser.run("return [...document.querySelectorAll('#timeline tbody tr')]"
                                     ".map(row => row.innerText.split(/\\t/))"), "the figures")
    assert len(rows) == 90
    assert rows[0] == ["2023-11-14 22:13:21 UTC", "57.0 KiB", "145", "57.0 KiB", "100", "4.0 MiB"]
    assert rows[1][5] == "not read"


def test_suspects(browser, ctl, watched):
    """In words; each opens the stack in which most of it is, whatever is shown."""
    show(browser, ctl, watched)
    lines = text_of(browser, "#suspects").split("\n")
    assert [line for line in lines if line] == ["1 line leaks:", "load_session at src/session.c:51 leaks (medium confidence): "
        "grows 1.1 MiB a minute since 2023-11-14 22:13:21 UTC; none of its 1,650 blocks was ever freed. "
        "1.6 MiB live in 1,650 blocks, 2 stacks"]
    choose(browser, "#order", 1)
    browser.run("document.querySelector('#suspects button').click()")
    assert text_of(browser, "#table-summary").startswith("1 stack of 3 below serve: live 1.4 MiB (1,500,000 bytes)")
    assert browser.run("return document.activeElement.id") == "graph"


def test_many_suspects(browser, ctl, tmp_path):
    """Three are shown, and it is said that there are more."""
    figures = {"live_bytes": 150_000, "live_blocks": 150, "total_blocks": 150, "mean_age_us": 44_000_000,
               "lows": [i * 10_000 for i in range(16)]}
    write(tmp_path / "many.dhat", [frame_message(0x1000 * i, f"leak_{i}", "src/leaks.c", i) for i in range(1, 6)],
          [([i], figures) for i in range(1, 6)])
    show(browser, ctl, tmp_path / "many.dhat")
    assert text_of(browser, "#suspects p") == "5 lines leak; the first 3:"
    assert browser.run("return document.querySelectorAll('#suspects li').length") == 3


def test_marks_of_strangers(browser, ctl, watched):
    """What people named is no word of a redacted report."""
    page = show(browser, ctl, watched, "--redact")
    assert not re.search("deploy|xxxx|load_session|session.c|service", page.read_text().partition('id="data"')[2]
                         .partition("</script>")[0])
    assert text_of(browser, "#marks").startswith("Since mark-1, ") and "leaks (medium confidence)" in \
        text_of(browser, "#suspects")


def test_by_keyboard(browser, ctl, small):
    show(browser, ctl, small)

    def press(*keys):
        browser.type_into("#graph", "".join(keys))
        return text_of(browser, "#spoken")

    assert press(DOWN).startswith("serve; src/serve.c; Live: 2.6 MiB (2,751,904 bytes), 75.4% of all")
    assert press(DOWN).startswith("load_session; src/session.c;")
    assert press(RIGHT).startswith(SHOWN)
    assert press(LEFT, ENTER).startswith("load_session")
    assert text_of(browser, "#table-summary").startswith("1 stack of 4 below load_session")
    assert press(UP, ENTER).startswith("serve") and "3 stacks of 4" in text_of(browser, "#table-summary")
    assert press(ESCAPE).startswith("all stacks") and text_of(browser, "#table-summary").startswith("4 stacks:")
    # the table: its names are buttons, and tell whether they are open
    browser.type_into("tbody button.name", ENTER)
    assert browser.run("return document.querySelector('tbody button.name').ariaExpanded") == "true"
    assert "serve src/serve.c:12" in text_of(browser, "tr.opened")
    browser.type_into("tbody button.name", DOWN)
    assert browser.run("return document.activeElement.textContent") == "[allocated before attach]"


# WCAG 2, section 1.4.3: (L1 + 0.05) / (L2 + 0.05) of a text's colour and of what is behind it.
CONTRASTS = """
    const channels = text => text.match(/[\\d.]+/g).map(Number);
    const linear = value => value <= 10.31475 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = channels(getComputedStyle(element).backgroundColor);
            if (colour.length < 4 || colour[3] === 1)
                return colour;
        }
        return [255, 255, 255];
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.getClientRects().length || element.closest("script, style, [disabled]"))
            continue;
        const [dark, light] = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))].sort((a, b) => a - b);
        found.push([(light + 0.05) / (dark + 0.05), walker.currentNode.data.trim().slice(0, 40), element.className]);
    }
    return found.sort((a, b) => a[0] - b[0]);"""


def test_readable_in_light_and_dark(browser, ctl, watched):
    """Each text stands out from what is behind it, by at least what WCAG asks for; and the page follows the system."""
    inexact = watched.with_name("inexact.dhat")
    write(inexact, [frame_message(0x1000, "f", "f.c", 1)], [([1], {"live_bytes": 1, "live_blocks": 1})],
          reasons=["3 allocations were lost"])
    pages = set()
    for scheme in "light", "dark":
        browser.prefer(scheme)
        for dhat in watched, inexact:
            show(browser, ctl, dhat)
            browser.run("for (const closed of document.querySelectorAll('details')) closed.open = true")
            contrasts = browser.run(CONTRASTS)
            assert len(contrasts) > 50 and contrasts[0][0] >= 4.5, contrasts[:5]
            pages.add(browser.run("return getComputedStyle(document.body).backgroundColor"))
    browser.prefer("light")
    assert len(pages) == 2


def test_order_of_the_table(browser, ctl, small):
    show(browser, ctl, small)
    heads = "thead tr:nth-child(2) button"
    browser.run(f"document.querySelectorAll('{heads}')[4].click()")  # bytes, in all
    assert text_of(browser, "tbody button.name") == "parse"
    assert browser.run("return [...document.querySelectorAll('th[aria-sort=descending]')].length") == 1
    browser.run(f"document.querySelectorAll('{heads}')[4].click()")
    assert text_of(browser, "tbody button.name") == "[allocated before attach]"


def check_the_rest(browser):
    """What is too narrow to draw is one box at the end; a click shows what is in it."""
    shown = browser.run("""
        const canvas = document.querySelector("#graph"), area = canvas.getBoundingClientRect();
        const at = { clientX: area.right - 3, clientY: area.top + 30, bubbles: true };
        canvas.dispatchEvent(new MouseEvent("mousemove", at));
        const tip = document.querySelector("#tip").innerText;
        canvas.dispatchEvent(new MouseEvent("click", at));
        return [tip, document.querySelector("#path").innerText]""")
    assert re.fullmatch(r"[\d,]+ more below all stacks, each too narrow to draw: click to see them", shown[0]), shown
    assert re.search(r"without the widest [\d,]+ of its boxes$", shown[1]), shown
    browser.type_into("#graph", ESCAPE)
    assert browser.run("return document.querySelector('#path').hidden")


def test_many_stacks(browser, ctl, tmp_path):
    """More than a page of a table; sums are of all. Turned over, the tree has the same sum."""
    write_large(tmp_path / "large.dhat", 2000)
    ctl("export", tmp_path / "large.dhat", "-o", tmp_path / "large.json")
    profile = Profile(tmp_path / "large.json")
    show(browser, ctl, tmp_path / "large.dhat", "--metric", "total")
    assert browser.run("return document.querySelectorAll('tr.stack').length") == 100
    assert browser.run("return document.querySelector('#metric').selectedOptions[0].text") == "Allocated in all, bytes"
    check_sums(browser, profile.sums())
    choose(browser, "#order", 1)
    check_sums(browser, profile.sums())
    check_the_rest(browser)
    # what was drawn: the widest box of the first row is the function that allocated most
    most = {}
    for point in profile.points:
        name = profile.frames(point)[0].function
        most[name] = most.get(name, 0) + point["ebk"]
    choose(browser, "#metric", 1)
    browser.type_into("#graph", DOWN)
    assert number(text_of(browser, "#spoken").partition("Live: ")[2]) == max(most.values())


def test_difference(browser, ctl, tmp_path):
    """What has grown and what has shrunk, with signs; a stack of fewer, larger blocks is one row."""
    frames = [frame_message(0x1000, "load_session", "src/session.c", 51), frame_message(0x2000, "cache", "src/cache.c", 7),
              frame_message(0x3000, "serve", "src/serve.c", 12)]

    def figures(live, blocks):
        return {"live_bytes": live, "live_blocks": blocks, "total_bytes": live, "total_blocks": blocks}

    write(tmp_path / "a.dhat", frames, [([1, 3], figures(1000, 10)), ([2, 3], figures(90_000, 1))])
    write(tmp_path / "b.dhat", frames, [([1, 3], figures(51_000, 8)), ([2, 3], figures(60_000, 4))], taken_ns=190 * 10**9)
    page = tmp_path / "d.html"
    ctl("diff", tmp_path / "a.dhat", tmp_path / "b.dhat", "-o", page)
    browser.open(page.as_uri())
    assert text_of(browser, "h1").startswith("What has changed in the heap of service")
    assert text_of(browser, "#headline") == \
        "Has grown most: +48.8 KiB (50,000 bytes) from load_session at src/session.c:51"
    assert "+20,000 bytes in +1 block" in text_of(browser, ".total")
    rows = browser.run("return [...document.querySelectorAll('tr.stack')].map(row => row.innerText.split(/\\s+/))")
    assert [row[1:4] for row in rows] == [["48.8", "KiB", "-2"], ["-29.3", "KiB", "3"]], rows
    browser.type_into("#graph", DOWN)
    assert text_of(browser, "#spoken").startswith("serve; src/serve.c; Live: +19.5 KiB (20,000 bytes), 25.0% of all change")
    browser.type_into("#graph", DOWN + RIGHT)
    assert text_of(browser, "#spoken").startswith("cache; src/cache.c; Live: -29.3 KiB (-30,000 bytes)")
