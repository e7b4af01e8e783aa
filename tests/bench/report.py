"""The figures of make bench as rows: of what machine, drawn as a picture, compared with a baseline."""
import json
import platform
import re
import statistics
import subprocess
from pathlib import Path
from xml.sax.saxutils import escape


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{model[1] if model else platform.machine()}, Linux {platform.release()}"


def versions():
    """Of what is measured beside us: Debian's packages."""
    names = ["libc6", "libjemalloc2", "libgoogle-perftools4", "libmimalloc2.0", "bpftrace", "heaptrack", "valgrind",
             "redis-server", "nginx", "sqlite3"]
    out = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\n", *names], check=False,
                         capture_output=True, text=True).stdout
    return ", ".join(line[3:].strip() for line in out.splitlines() if line.startswith("ii"))


def rows(part, case, values, unit, base):
    """values: {tool: [figure, …]}."""
    medians = {tool: statistics.median(list_) for tool, list_ in values.items()}
    return [{"part": part, "case": case, "tool": tool, "unit": unit, "median": medians[tool], "min": min(list_),
             "max": max(list_), "ratio": medians[tool] / medians[base] if base else None}
            for tool, list_ in values.items()]


# ---- a baseline ------------------------------------------------------------------------------------

def name_of(row):
    return f"{row['part']}: {row['case']}: {row['tool']}"


def ratios(list_):
    """What dhatd costs, in ratios; of requests a second what is left."""
    return {name_of(row): round(row["ratio"], 3) for row in list_ if row["ratio"] and row["tool"].startswith("dhatd")
            and row["unit"] in ("ns", "requests/s")}


def worse_by(row, before):
    """As a share of what it was."""
    change = row["ratio"] / before
    return (change if row["unit"] == "ns" else 1 / change) - 1


def check(list_, path, tolerance):
    """0: no ratio is worse than the baseline's by more than the tolerance."""
    if not path.exists():
        path.write_text(json.dumps(ratios(list_), indent=1) + "\n")
        print(f"bench-check: {path} is new; later runs are compared with it")
        return 0
    baseline, found, failed = json.loads(path.read_text()), {name_of(row): row for row in list_}, 0
    for name, before in baseline.items():
        row = found.get(name)
        if not row:
            continue
        worse = worse_by(row, before)
        if worse > tolerance:
            failed += 1
            print(f"bench-check: {name}: {row['ratio']:.2f}, and {before:.2f} in the baseline: {worse:.0%} worse")
    compared = sum(name in found for name in baseline)
    print(f"bench-check: {compared} ratios compared, {failed} of them worse by more than {tolerance:.0%}")
    return 1 if failed or not compared else 0


# ---- a picture -------------------------------------------------------------------------------------

WIDTH, LEFT, BAR, GAP, RIGHT = 860, 330, 16, 5, 130
COLOURS = {"dhatd": "#2f6f9f", "floor": "#8a8a8a", "unprobed": "#8a8a8a"}
PARTS = {"hot pair": "malloc+free, 10 frames deep: ns", "depth": "the same by depth: ns",
         "allocator": "the same with other allocators: ns", "shape": "a round of other patterns: ns",
         "service": "requests a second"}


def drawn(list_, part):
    unit = "requests/s" if part == "service" else "ns"
    return [row for row in list_ if row["part"] == part and row["unit"] == unit and row["median"] > 0]


def full(list_, row):
    """What the whole width stands for: a case's own most for services, one for all elsewhere. Bars of ten times ours are
    cut."""
    same = [other for other in list_ if row["unit"] == "ns" or other["case"] == row["case"]]
    ours = max((other["median"] for other in same if other["tool"].startswith("dhatd")), default=float("inf"))
    return max(other["median"] for other in same if other["median"] <= 10 * ours)


def bars(list_, y):
    parts = []
    for row in list_:
        share = min(1, row["median"] / full(list_, row))
        tool = row["tool"].split()[0].rstrip(":")
        text = f"{row['median']:,.0f}" + (f" ({row['ratio']:.2f}x)" if row["ratio"] else "")
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(row["case"])}, {escape(row["tool"][:30])}</text>'
            f'<rect x="{LEFT}" y="{y}" width="{max(1, share * (WIDTH - LEFT - RIGHT)):.0f}" height="{BAR}" '
            f'fill="{COLOURS.get(tool, "#c9a14a")}"/>'
            f'<text x="{LEFT + 5 + max(1, share * (WIDTH - LEFT - RIGHT)):.0f}" y="{y + 12}">{text}</text>')
        y += BAR + GAP
    return parts, y


def picture(results):
    """An SVG: a block of bars for each part."""
    y, parts = 24, []
    for part, title in PARTS.items():
        list_ = drawn(results["rows"], part)
        if not list_:
            continue
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{escape(title)}</text>')
        more, y = bars(list_, y + 8)
        parts += more
        y += 26
    parts.append(f'<text x="10" y="{y}" fill="#666">{escape(results["machine"])}; in brackets: to the floor (empty '
                 'programs), or to unprobed</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 14}" '
            f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>\n'
            + "\n".join(parts) + "\n</svg>\n")
