"""A .dhat file written by hand (proto/profile/snapshot_file.h): profiles of any size and with any names, of no process."""
import struct
import zlib

from wire import frame, message_field, number_field

HEAD, FRAMES, POINTS, END = 1, 2, 3, 4  # fields of SnapshotPart
PER_PART = 1000
SINCE_NS, OBSERVED_NS = 1_700_000_000_000_000_000, 90_000_000_000
# fields of ProgramPoint, in the order of FIGURES
FIGURES = ("total_bytes", "total_blocks", "lifetimes_us", "max_bytes", "max_blocks", "peak_bytes", "peak_blocks",
           "live_bytes", "live_blocks")


def text_field(number, text):
    return message_field(number, text.encode() if isinstance(text, str) else text)


def location(function, file="", line=0):
    return message_field(6, text_field(1, function) + (text_field(3, file) + number_field(4, line) if file else b""))


def frame_message(address, function, file="", line=0, obj="/usr/bin/service"):
    """Of one place in the code; function "": it has no name."""
    return number_field(1, address) + text_field(2, obj) + number_field(4, address & 0xffffff) + \
        (location(function, file, line) if function else b"")


def packed_field(number, values):
    return message_field(number, b"".join(number_field(1, value)[1:] for value in values))


def point_message(frames, figures, label=""):
    """frames: numbers from 1 on, innermost first; figures: {name of FIGURES: number}, with "since" of each mark
    (bytes, blocks), "lows" of each slot, "longest_freed_us", "mean_age_us"."""
    lows, since = figures.get("lows", ()), figures.get("since", ())
    steps = [low - before for low, before in zip(lows, (0, *lows))]
    return b"".join(number_field(1 + i, figures.get(name, 0)) for i, name in enumerate(FIGURES)) + \
        packed_field(10, frames) + text_field(11, "" if label else "complete") + text_field(13, label) + \
        number_field(14, 1_000_000_000) + number_field(15, 89_000_000_000) + \
        packed_field(20, [size for size, _ in since]) + packed_field(21, [blocks for _, blocks in since]) + \
        packed_field(30, [2 * step if step >= 0 else -2 * step - 1 for step in steps]) + \
        number_field(31, figures.get("longest_freed_us", 0)) + number_field(32, figures.get("mean_age_us", 0))


def head_message(command, executable, pid=4711, host="host", taken_ns=OBSERVED_NS, marks=()):
    """marks: (name, nanoseconds since the observation began)."""
    target = number_field(1, pid) + text_field(4, command) + text_field(5, executable) + text_field(6, "attached") + \
        number_field(9, SINCE_NS) + number_field(10, taken_ns) + text_field(11, "glibc 2.36 (libc.so.6)")
    return number_field(1, 1) + text_field(2, "0.1.0") + text_field(3, "6.1.0") + message_field(4, target) + \
        number_field(5, SINCE_NS + taken_ns) + number_field(6, 1) + text_field(7, host) + \
        b"".join(message_field(20, text_field(1, name) + number_field(2, ns)) for name, ns in marks)


def timeline_message(live, rss=()):
    """Slots of equal width up to the end."""
    return number_field(2, OBSERVED_NS // len(live)) + packed_field(3, live) + packed_field(4, live) + \
        packed_field(5, [size // 400 for size in live]) + packed_field(6, [100] * len(live)) + packed_field(8, rss)


def end_message(points, reasons=(), live=(), rss=()):
    """live, rss: of the timeline; with lows of points there is a history of as many slots."""
    def total(name):
        return sum(figures.get(name, 0) for _, figures, *_ in points)

    totals = b"".join(number_field(number, value) for number, value in (
        (1, total("total_bytes")), (2, total("total_blocks")), (3, total("peak_bytes")), (4, total("peak_blocks")),
        (5, 80_000_000_000), (6, total("live_bytes")), (7, total("live_blocks")), (8, OBSERVED_NS),
        (11, len(points))))
    verdict = number_field(1, 0 if reasons else 1) + b"".join(text_field(2, reason) for reason in reasons) + \
        text_field(3, "inexact" if reasons else "exact")
    loss = text_field(1, "drop_alloc") + number_field(2, 3) + text_field(3, "allocations lost") + number_field(4, 1)
    slots = max((len(figures.get("lows", ())) for _, figures, *_ in points), default=0)
    history = number_field(2, OBSERVED_NS // slots) + number_field(3, slots) if slots else b""
    return message_field(1, totals) + message_field(2, verdict) + (message_field(3, loss) if reasons else b"") + \
        (message_field(30, timeline_message(live, rss)) if live else b"") + \
        (message_field(31, history) if slots else b"")


def write(path, frames, points, command="./service", executable="/usr/bin/service", reasons=(), live=(), rss=(), **head):
    """frames: of frame_message(); points: (frame numbers, figures[, label]); live, rss: of the timeline."""
    parts = [(HEAD, head_message(command, executable, **head))]
    for number, messages in (FRAMES, frames), (POINTS, [point_message(*point) for point in points]):
        parts += [(number, b"".join(message_field(1, m) for m in messages[at:at + PER_PART]))
                  for at in range(0, len(messages), PER_PART)]
    parts.append((END, end_message(points, reasons, live, rss)))
    content = b"DHATSNAP" + struct.pack("<II", 1, 0) + \
        b"".join(frame(message_field(number, part)) for number, part in parts) + b"\xff\xff\xff\xff"
    path.write_bytes(content + struct.pack("<I", zlib.crc32(content)))


def write_large(path, stacks):
    """As many stacks as a large C++ service has: some 20 deep, a few thousand functions, a few of them its leaks.
    Always the same."""
    functions = 4000
    frames = [frame_message(0x550000000000 + 64 * i, f"ns{i % 37}::Component{i % 211}<ns{i % 5}::Key, std::vector<int>>"
                            f"::method_{i}(unsigned long, std::string const&)", f"src/part{i % 90}/component_{i % 211}.cc",
                            10 + i % 700) for i in range(functions)]
    seed, points = 12345, []

    def random(limit):
        nonlocal seed
        seed = (seed * 1103515245 + 12345) & 0x7fffffff
        return (seed >> 8) % limit

    trunk = [1 + i for i in range(6)]
    for number in range(stacks):
        if number % 50 == 0:
            branch = [1 + 6 + (number // 50) % 40] + [1 + 50 + random(450) for _ in range(6)]
        twig = [1 + 500 + random(functions - 500) for _ in range(2 + random(7))]
        size, blocks = 16 << random(8), 1 + random(1 << (1 + random(12)))
        live = blocks if random(10) == 0 else random(1 + blocks // 50)
        outermost_first = trunk + branch + twig
        points.append((outermost_first[::-1], {
            "total_bytes": size * blocks, "total_blocks": blocks, "lifetimes_us": blocks * random(1000000),
            "max_bytes": size * max(live, blocks // 3), "max_blocks": max(live, blocks // 3),
            "peak_bytes": size * live, "peak_blocks": live, "live_bytes": size * live, "live_blocks": live}))
    write(path, frames, points)
