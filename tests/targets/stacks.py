"""Deep interpreter stacks: recursion, generators, regular expressions, json, sorting with keys,
exceptions, classes made at run time. More than pymalloc's 512 bytes at a time, so that malloc sees
it; run by stack_judge."""
import json
import re
import sys


def descend(level):
    block = bytearray(600 + level)
    if level:
        return descend(level - 1) + len(block)
    return len(block)


def generate(depth):
    yield b"x" * (700 + depth)
    if depth:
        yield from generate(depth - 1)


def fail(level):
    held = "y" * (800 + level)
    if not level:
        raise ValueError(held)
    fail(level - 1)


class Meta(type):
    def __new__(mcs, name, bases, space):
        space["table"] = [0] * 200
        return super().__new__(mcs, name, bases, space)


def one_round(number):
    total = descend(25) + sum(len(part) for part in generate(15))
    try:
        fail(10)
    except ValueError as error:
        total += len(str(error))
    text = json.dumps({str(key): list(range(key)) for key in range(100)})
    total += len(json.loads(text))
    total += len(re.sub(r"(\d+), (\d+)", lambda match: match.group(2) * 20, text))
    made = Meta(f"Made{number}", (), {})
    total += len(sorted(made.table, key=lambda item: str(item) * 600))
    return total


for turn in range(int(sys.argv[1]) if len(sys.argv) > 1 else 2000):
    one_round(turn)
