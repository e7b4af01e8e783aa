"""Who is right: nobody passes who says "exact" and is not."""
import re

from measure import few_strays

LATE = "perhaps used before the probes were there"
TWO_LIVES = 4  # blocks: two lives of one program differ by a few, for its threads meet differently


def off(blocks, calls):
    """How many blocks are missing of what the judge counted, at the least; less than 0: so many too many."""
    low, high = calls
    return low - blocks if blocks < low else high - blocks if blocks > high else 0


def percent(part, whole):
    return f"{100 * part / whole:.2f} %" if whole else f"{part:,}"


def wrong_count(row, seen):
    missing = off(seen.blocks, seen.calls)
    if missing < 0 and any(LATE in reason for reason in seen.reasons):
        return None  # what was found by its code meanwhile is among the blocks, and not among the calls
    slack = max(row.get("tolerance", 0.001) * seen.calls[1], 0 if "live" in row else TWO_LIVES)
    if abs(missing) <= slack:
        return None
    low, high = seen.calls
    counted = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return (f"{abs(missing):,} blocks {'missing' if missing > 0 else 'too many'} "
            f"({percent(abs(missing), high)}): dhatd counted {seen.blocks:,}, bpftrace {counted} calls")


def wrong_bytes(row, seen):
    difference = seen.ours - seen.theirs
    if abs(difference) <= row.get("own_tolerance", 0) * seen.theirs:
        return None
    return (f"{abs(difference):,} bytes {'more' if difference > 0 else 'less'} "
            f"({percent(abs(difference), abs(seen.theirs))}): dhatd says that {seen.ours:,} became live, "
            f"{row['own']} says {seen.theirs:,}")


def wrong_strays(row, seen):
    """A function that gives blocks and is not known to anybody: its blocks are freed all the same."""
    if seen.strays <= few_strays(row, seen.blocks):
        return None
    return (f"{seen.strays:,} blocks were freed that dhatd never saw allocated, beside {seen.blocks:,} that it counted: "
            "a function that hands out blocks is missed by dhatd, and by bpftrace, which counts where dhatd says")


def wrong_stacks(row, seen):
    if not seen.stacks:
        return None
    if seen.stacks.false:
        last, blocks = max(seen.stacks.false.items(), key=lambda item: item[1])
        return (f"the stacks of {sum(seen.stacks.false.values()):,} blocks claim to be whole, and end where nothing starts: "
                f"{blocks:,} of them in {last}")
    whole, every = seen.stacks.since
    if "whole" in row and not every:
        return "no stack came once tables were there: nothing is known of their share that is whole"
    if 100 * whole < row.get("whole", 0) * every:
        return f"{percent(whole, every)} of the stacks are whole once tables are there: {row['whole']} % were wanted"
    return None


def judge(row, seen):
    """What is wrong with it, or None."""
    said = " ".join(seen.reasons)
    if seen.verdict is None:
        if "refused" not in row:
            return f"refused: {said}"
        return None if re.search(row["refused"], said) else f"refused without a word of {row['refused']}: {said}"
    if "refused" in row:
        return f"not refused, but {seen.verdict}: {seen.blocks:,} blocks"
    faults = []
    if seen.verdict == "exact" and "hidden" in row and row.get("attach") != "busy":
        faults.append(f"what {row['hidden']} hands out cannot be counted here, and nobody says so")
    if seen.calls:
        faults.append(wrong_count(row, seen))
    if seen.theirs is not None:
        faults.append(wrong_bytes(row, seen))
    if row.get("attach") == "busy" and seen.verdict == "exact":
        faults.append(wrong_strays(row, seen))
    if not seen.calls and seen.theirs is None:
        faults.append("nobody counted")
    if seen.verdict != "exact":
        if not re.search(row.get("hidden", "."), said):
            faults.append(f"without a word of {row.get('hidden', 'why')}: {said}")
        if not re.fullmatch(row.get("verdict", "exact"), seen.verdict):
            faults.append(f"was expected to be {row.get('verdict', 'exact')}: {said}")
    faults.append(wrong_stacks(row, seen))
    faults = [fault for fault in faults if fault]
    return f"called {seen.verdict}: " + "; ".join(faults) if faults else None
