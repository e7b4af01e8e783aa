"""Who is called by nobody: a judge of stacks that claim to be whole.

A stack that says nothing of an early end claims that its last frame is where the kernel or a runtime has begun: the
entry point of a program or of the dynamic linker, the child of a clone, the first function of a coroutine. Works on
profiles as DHAT JSON.
"""
import re

EARLY = re.compile(r"\[stack (?:ends early: )?(.*)\]")  # a busy machine may have no room for one
# glibc's and musl's
STARTS = re.compile(r": (_start|_dl_start_user|__clone3?|clone3?|__clone_internal|__start_context|make_fcontext)\b")
# what only these call: where the file of the caller has no symbols
STARTED = re.compile(r": (__libc_start_main\w*|__libc_start_call_main|_dl_start|start_thread)\b")
UNNAMED = re.compile(r"^\S+: \?\?\? \(in /")


def is_start(frames):
    """frames: texts, innermost first."""
    if STARTS.search(frames[-1]):
        return True
    return bool(len(frames) > 1 and UNNAMED.search(frames[-1]) and STARTED.search(frames[-2]))


def count(profile):
    """Blocks by the end of their stacks: (whole, {reason: early}, {last frame: falsely complete}). What was there
    before the attach has no stacks and is left out."""
    whole, early, false = 0, {}, {}
    for point in profile["pps"]:
        frames = [profile["ftbl"][number] for number in point["fs"]]
        if any("[allocated before attach]" in frame for frame in frames):
            continue
        match = EARLY.search(frames[-1])
        if match:
            early[match[1]] = early.get(match[1], 0) + point["tbk"]
        elif is_start(frames):
            whole += point["tbk"]
        else:
            last = frames[-1].partition(": ")[2]
            false[last] = false.get(last, 0) + point["tbk"]
    return whole, early, false
