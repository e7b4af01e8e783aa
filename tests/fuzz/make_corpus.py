#!/usr/bin/python3
"""Writes the inputs that fuzzing starts from: make_corpus.py DIRECTORY.

DIRECTORY/elf gets ELF files with call frame information, symbols and DWARF, one good one and then
whatever a hostile owner might do to it: cut short, giant counts, sizes past the end of the file,
sections that refer to themselves, entries that overlap or point at each other, a build-id that
lies, a compressed section that unfolds without end. The same files, whole, test the worker
(tests/judge/hostile_judge.c). Other folders are named after their fuzz targets.
"""
import random
import struct
import sys
import zlib
from pathlib import Path

BASE = 0x400000
CODE = 0x1000  # offset and link-time address - BASE of the code
CODE_SIZE = 0x1000

SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOTE, SHT_DYNSYM = 1, 2, 3, 7, 11


def uleb(value):
    out = b""
    while True:
        byte, value = value & 0x7F, value >> 7
        out += bytes([byte | (0x80 if value else 0)])
        if not value:
            return out


class Section:
    def __init__(self, name, data, kind=SHT_PROGBITS, flags=2, link=0, entry_size=0, info=0):
        self.name, self.data, self.kind, self.flags = name, data, kind, flags
        self.link, self.entry_size, self.info = link, entry_size, info
        self.size = None  # to claim another size than there is
        self.offset = None  # to claim another place


def elf(sections, **change):
    """An ELF file; change: fields of the file header, or a function over the section headers."""
    names = b"\0"
    body = bytearray(0x2000)  # headers, then code of nops and rets
    body[CODE:CODE + CODE_SIZE] = (b"\x90" * 15 + b"\xc3") * (CODE_SIZE // 16)
    headers = [b"\0" * 64]
    sections = sections + [Section(".shstrtab", b"", SHT_STRTAB, 0)]
    for section in sections:
        section.name_at = len(names)
        names += section.name.encode() + b"\0"
    sections[-1].data = names
    for section in sections:
        while len(body) % 16:
            body.append(0)
        at = len(body)
        body += section.data
        vaddr = BASE + at if section.flags & 2 else 0
        headers.append(struct.pack(
            "<IIQQQQIIQQ", section.name_at, section.kind, section.flags, vaddr,
            at if section.offset is None else section.offset,
            len(section.data) if section.size is None else section.size,
            section.link, section.info, 8, section.entry_size))
    while len(body) % 16:
        body.append(0)
    field = {"type": 3, "machine": 62, "entry": BASE + CODE, "phoff": 64, "shoff": len(body),
             "phentsize": 56, "phnum": 2, "shentsize": 64, "shnum": len(headers),
             "shstrndx": len(headers) - 1, "class": 2, "data": 1}
    segments = change.pop("segments", None)
    field.update(change)
    body += b"".join(headers)
    struct.pack_into("<4sBBBB8xHHIQQQIHHHHHH", body, 0, b"\x7fELF", field["class"], field["data"], 1, 0,
                     field["type"], field["machine"], 1, field["entry"], field["phoff"], field["shoff"],
                     0, 64, field["phentsize"], field["phnum"] & 0xFFFF, field["shentsize"],
                     field["shnum"] & 0xFFFF, field["shstrndx"] & 0xFFFF)
    segments = segments or [(1, 5, 0, BASE, len(body), len(body)), (4, 4, 0x2000, BASE + 0x2000, 64, 64)]
    for i, (kind, flags, offset, vaddr, file_size, memory_size) in enumerate(segments[:60]):
        struct.pack_into("<IIQQQQQQ", body, 64 + 56 * i, kind, flags, offset, vaddr, vaddr, file_size,
                         memory_size, 4096)
    return bytes(body)


# ---- call frame information --------------------------------------------------------------------


def entry(content):
    content += b"\0" * (-(len(content) + 4) % 8)
    return struct.pack("<I", len(content)) + content


def cie(augmentation=b"zR", data=b"\x1b", program=b"\x0c\x07\x08\x90\x01"):
    return entry(struct.pack("<I", 0) + b"\x01" + augmentation + b"\0" + b"\x01\x78\x10"
                 + uleb(len(data)) + data + program)


def eh_frame(at, functions, first=None, cie_distance=None):
    """functions: (offset in the code, size, program). at: where the section will be."""
    out = first if first is not None else cie()
    for offset, size, program in functions:
        back = len(out) + 4 if cie_distance is None else cie_distance
        place = BASE + at + len(out) + 8
        out += entry(struct.pack("<IiI", back & 0xFFFFFFFF, (BASE + CODE + offset - place), size)
                     + b"\0" + program)
    return out + b"\0\0\0\0"


PUSHES = b"\x41\x0e\x10\x86\x02\x43\x0d\x06\x02\x20\x0a\xc6\x0c\x07\x08\x41\x0b"


def plain_eh_frame(at=0x2000):
    return eh_frame(at, [(0, 0x80, PUSHES), (0x80, 0x40, b""), (0x100, 0x80, b"\x07\x10")])


def eh_frames():
    """Sections that are wrong in some way; all go to offset 0x2000."""
    at = 0x2000
    yield "overlap", eh_frame(at, [(0, 0x100, PUSHES), (0x10, 0x20, b"\x0e\x20"), (0x10, 0x80, b""),
                                   (0, 0x1000, b"\x0e\x40")])
    yield "giant-fde", eh_frame(at, [(0, 0xFFFFFFFF, PUSHES), (0x10, 0x7FFFFFFF, b"\x0e\x20")])
    yield "fde-is-cie", eh_frame(at, [(0, 0x80, PUSHES), (0x80, 0x80, b"")], cie_distance=4)
    yield "cie-before-start", eh_frame(at, [(0, 0x80, PUSHES)], cie_distance=0x10000)
    yield "cie-inside", eh_frame(at, [(0, 0x80, PUSHES)], cie_distance=3)
    yield "length-past-end", plain_eh_frame()[:-4] + struct.pack("<I", 0x7FFFFFF0) + b"\0" * 20
    yield "length-64", plain_eh_frame()[:-4] + struct.pack("<IQ", 0xFFFFFFFF, 2**63) + b"\0" * 20
    yield "length-64-loop", struct.pack("<IQ", 0xFFFFFFFF, 2**64 - 12) + plain_eh_frame()
    yield "no-end", plain_eh_frame()[:-4]
    yield "augmentation-endless", entry(struct.pack("<I", 0) + b"\x01" + b"z" * 3000)
    yield "augmentation-size", eh_frame(at, [(0, 0x80, PUSHES)], first=entry(
        struct.pack("<I", 0) + b"\x01zR\0\x01\x78\x10" + b"\xff\xff\xff\xff\x0f\x1b"))
    yield "personality", eh_frame(at, [(0, 0x80, PUSHES)], first=cie(b"zPLR", b"\x9b\0\0\0\0\x1b\x1b"))
    yield "encodings", b"".join(cie(b"zR", bytes([code])) for code in range(256))
    yield "advance", eh_frame(at, [(0, 0x80, b"\x04\xff\xff\xff\xff\x0e\x10\x04\xff\xff\xff\xff\x0e\x20")])
    yield "remember", eh_frame(at, [(0, 0x80, b"\x0a" * 5000)])
    yield "restore-nothing", eh_frame(at, [(0, 0x80, b"\x41\x0b\xc6\x06\x06")])
    yield "expression-size", eh_frame(at, [(0, 0x80, b"\x41\x0f\xff\xff\xff\xff\x0f\x77\x08"),
                                           (0x80, 0x80, b"\x10\x10\xff\xff\xff\xff\xff\xff\xff\xff\x7f")])
    yield "leb-endless", eh_frame(at, [(0, 0x80, b"\x0e" + b"\x80" * 3000)])
    yield "register-giant", eh_frame(at, [(0, 0x80, b"\x0c" + uleb(2**63) + uleb(2**63))])
    yield "rows-many", eh_frame(at, [(0, 0x1000, b"".join(
        b"\x41\x0e" + uleb(16 + 8 * (i % 2)) for i in range(3000)))])
    yield "fdes-many", eh_frame(at, [(i % 0x1000, 1 + i % 64, b"\x0e\x10") for i in range(2000)])
    yield "fdes-far", eh_frame(at, [(0, 1, b""), (0x7FF00000, 0x100, b""), (-0x7FF00000, 0x100, b"")])
    yield "signal", eh_frame(at, [(0, 9, b"\x0f\x04\x77\xa0\x01\x06\x10\x06\x03\x77\xf8\x00\x10\x10\x03"
                                   b"\x77\xa8\x01")], first=cie(b"zRS"))
    yield "plt", eh_frame(at, [(0, 64, b"\x0f\x0b\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22")])


# ---- symbols, notes, DWARF ---------------------------------------------------------------------


def symbols(names, value=BASE + CODE, size=0x40):
    table, strings = b"\0" * 24, b"\0"
    for i, name in enumerate(names):
        table += struct.pack("<IBBHQQ", len(strings), 0x12, 0, 1, (value + 0x40 * i) % 2**64, size)
        strings += name + b"\0"
    return table, strings


def note(name_size=4, desc_size=20, desc=bytes(range(20))):
    return struct.pack("<III", name_size, desc_size, 3) + b"GNU\0" + desc


def unit(dies, version=4, length=None):
    body = struct.pack("<HIB", version, 0, 8) + dies if version < 5 else \
        struct.pack("<HBBI", version, 1, 8, 0) + dies
    return struct.pack("<I", len(body) if length is None else length) + body


ABBREVS = (b"\x01\x11\x01\x03\x08\x11\x01\x12\x06\x10\x17\0\0"  # compile unit
           b"\x02\x2e\x01\x03\x08\x11\x01\x12\x06\0\0"  # function
           b"\x03\x1d\x01\x31\x13\x11\x01\x12\x06\x58\x0b\x59\x0b\0\0"  # inlined into it
           b"\x04\x2e\x00\x47\x13\x31\x13\0\0"  # specification and origin
           b"\0")


def cu(children):
    return (b"\x01" + b"unit.c\0" + struct.pack("<QII", BASE + CODE, 0x1000, 0) + children + b"\0")


def function(children, name=b"work"):
    return b"\x02" + name + b"\0" + struct.pack("<QI", BASE + CODE, 0x100) + children + b"\0"


def inlined(origin, children=b""):
    return b"\x03" + struct.pack("<IQIBB", origin, BASE + CODE, 0x80, 1, 7) + children + b"\0"


def line_program(files=1, length=None, header_length=None, opcode_base=13, line_range=14):
    tables = b"\0" + b"".join(b"f%d.c\0\0\0\0" % i for i in range(files)) + b"\0"
    head = struct.pack("<BBBbBB", 1, 1, 1, -5, line_range, opcode_base)
    head += bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
    program = b"\0\x09\x02" + struct.pack("<Q", BASE + CODE) + b"\x14" * 40 + b"\x02\x10\0\x01\x01"
    rest = head + tables
    body = struct.pack("<HI", 4, len(rest) if header_length is None else header_length) + rest + program
    return struct.pack("<I", len(body) if length is None else length) + body


def dwarfs():
    yield "plain", unit(cu(function(inlined(0x23)))), ABBREVS, line_program()
    yield "origin-self", unit(cu(function(inlined(0x35) + b"\x04" + struct.pack("<II", 0x4D, 0x4D)))), \
        ABBREVS, line_program()
    yield "origin-past-end", unit(cu(function(inlined(0xFFFFFFF0)))), ABBREVS, line_program()
    nest = b""
    for _ in range(3000):
        nest = inlined(0x23, nest)
    yield "inlines-deep", unit(cu(function(nest))), ABBREVS, line_program()
    yield "functions-deep", unit(cu(b"\x02w\0" + struct.pack("<QI", BASE + CODE, 0x100)) * 2000), \
        ABBREVS, line_program()
    yield "no-end-of-children", unit(cu(function(b""))[:-2]), ABBREVS, line_program()
    yield "unit-past-end", unit(cu(function(b"")), length=0x7FFFFFF0), ABBREVS, line_program()
    yield "unit-64", struct.pack("<IQ", 0xFFFFFFFF, 2**63) + unit(cu(b"")), ABBREVS, line_program()
    yield "units-many", unit(cu(b"")) * 2000, ABBREVS, line_program()
    yield "version-9", unit(cu(b""), version=9), ABBREVS, line_program()
    yield "version-5", unit(cu(function(inlined(0x24))), version=5), ABBREVS, line_program()
    yield "abbrev-cut", unit(cu(function(b""))), ABBREVS[:20], line_program()
    yield "abbrev-indirect", unit(b"\x01" + b"\x16" * 2000), b"\x01\x11\x01\x03\x16\0\0\0", line_program()
    yield "line-files", unit(cu(function(inlined(0x23)))), ABBREVS, line_program(files=20000)
    yield "line-range-0", unit(cu(function(b""))), ABBREVS, line_program(line_range=0)
    yield "line-opcode-base-0", unit(cu(function(b""))), ABBREVS, line_program(opcode_base=0)
    yield "line-opcode-base-255", unit(cu(function(b""))), ABBREVS, line_program(opcode_base=255)
    yield "line-length", unit(cu(function(b""))), ABBREVS, line_program(length=0x7FFFFFF0)
    yield "line-header-length", unit(cu(function(b""))), ABBREVS, line_program(header_length=0x7FFFFFF0)


# ---- files -------------------------------------------------------------------------------------


def base_sections(frames=None):
    table, strings = symbols([b"malloc", b"free", b"_Znwm", b"_ZN4work4deepILi3EEEvv"])
    return [Section(".eh_frame", plain_eh_frame() if frames is None else frames),
            Section(".note.gnu.build-id", note(), SHT_NOTE),
            Section(".symtab", table, SHT_SYMTAB, 0, 4, 24, 1), Section(".strtab", strings, SHT_STRTAB, 0),
            Section(".dynsym", table, SHT_DYNSYM, 2, 6, 24, 1), Section(".dynstr", strings, SHT_STRTAB)]


def changed(index, **change):
    sections = base_sections()
    for key, value in change.items():
        setattr(sections[index], key, value)
    return elf(sections)


def compressed(name, claimed, data, kind=1):
    section = Section(name, struct.pack("<IIQQ", kind, 0, claimed, 1) + data)
    section.flags = 0x800
    return section


def zstd(data, claimed=None):
    """A frame whose blocks are as they are."""
    blocks = b"".join((len(part) << 3).to_bytes(3, "little") + part for part in (
        data[at:at + 100000] for at in range(0, len(data), 100000)))
    return struct.pack("<IBI", 0xFD2FB528, 0xA0, len(data) if claimed is None else claimed) + blocks + b"\1\0\0"


def zstd_bomb(size):
    """128 KiB of nothing from each four bytes."""
    return struct.pack("<IBI", 0xFD2FB528, 0xA0, size) + b"\x02\0\x10\0" * (size >> 17) + b"\1\0\0"


PACKED_UNIT = 0x1122334455667788


def package(version=5, columns=(1, 3, 4, 6), units=1, slots=2, row=1, cells=None, strings=b"u.c\0comp\0work\0",
            offsets=(0, 4, 9), kind=None, is_large=False):
    """A .dwp of one unit; cells: offsets and sizes that are told; is_large: offsets of 8 bytes."""
    abbrevs = b"\x01\x11\x01\x03\x25\x25\x25\x13\x05\0\0\x02\x2e\x00\x03\x25\0\0\0"
    info = struct.pack("<HBBIQ", 5, 5, 8, 0, PACKED_UNIT) + b"\x01\0\x01\x1d\0" + b"\x02\x02" + b"\0"
    info = struct.pack("<I", len(info)) + info
    table = (struct.pack("<IQHH", 2**32 - 1, 4 + 8 * len(offsets), 5, 0) if is_large else
             struct.pack("<IHH", 4 + 4 * len(offsets), 5, 0))
    table += struct.pack(f"<{len(offsets)}{'Q' if is_large else 'I'}", *offsets)
    parts = {1: info, 3: abbrevs, 4: line_program(), 6: table}
    sizes = [len(parts.get(column, b"")) for column in columns]
    index = struct.pack("<IIII", version, len(columns), units, slots)
    index += struct.pack("<QQ", PACKED_UNIT, 0) + struct.pack("<II", row, 0)
    index += struct.pack(f"<{len(columns)}I", *columns)
    index += struct.pack(f"<{2 * len(columns)}I", *(cells or [0] * len(columns) + sizes))
    sections = {".debug_info.dwo": info, ".debug_abbrev.dwo": abbrevs, ".debug_line.dwo": parts[4],
                ".debug_str_offsets.dwo": table, ".debug_str.dwo": strings, ".debug_cu_index": index}
    return elf([compressed(name, len(data), zstd(data), kind) if kind else Section(name, data, flags=0)
                for name, data in sections.items()])


def packages():
    yield "good", package()
    yield "zstd", package(kind=2)
    yield "version-2", package(version=2)
    yield "version-7", package(version=7)
    yield "column-twice", package(columns=(1, 1, 3, 6))
    yield "columns-many", package(columns=tuple(range(1, 17)))
    yield "units-many", package(units=2**32 - 1)
    yield "slots-3", package(slots=3)
    yield "slots-many", package(slots=2**31)
    yield "row-0", package(row=0)
    yield "row-far", package(row=7)
    yield "cells-far", package(cells=[2**32 - 1] * 4 + [2**32 - 1] * 4)
    yield "cells-end", package(cells=[0, 0, 0, 0] + [2**31] * 4)
    yield "strings-no-nul", package(strings=b"x" * 100)
    yield "strings-same", package(strings=b"x" * 5000 + b"\0", offsets=(0,) * 3000)
    yield "strings-far", package(offsets=(0, 2**32 - 1))
    yield "strings-large", package(is_large=True)
    yield "strings-large-far", package(offsets=(0, 2**64 - 4096), is_large=True)


def elf_files():
    good = elf(base_sections())
    yield "good", good
    for size in sorted({0, 1, 4, 16, 63, 64, 65, 120, 0x1FFF, 0x2000, 0x2010, 0x2050, len(good) - 64 * 3,
                        len(good) - 1}):
        yield f"cut-{size}", good[:size]
    for name, frames in eh_frames():
        yield f"frames-{name}", elf(base_sections(frames))
    for field in ("shoff", "phoff", "entry"):
        for value in (1, 63, len(good) - 1, len(good), 2**31, 2**63, 2**64 - 1):
            yield f"{field}-{value:x}", elf(base_sections(), **{field: value})
    for field in ("shnum", "phnum", "shstrndx", "shentsize", "phentsize"):
        for value in (0, 1, 3, 0xFF00, 0xFFFE, 0xFFFF):
            yield f"{field}-{value:x}", elf(base_sections(), **{field: value})
    for value in (0, 1, 3):
        yield f"class-{value}", elf(base_sections(), **{"class": value})
        yield f"data-{value}", elf(base_sections(), data=value)
    yield "type-core", elf(base_sections(), type=4)
    yield "machine-arm", elf(base_sections(), machine=183)
    for index, name in enumerate(("eh_frame", "note", "symtab", "strtab", "dynsym", "dynstr")):
        for size in (0, 1, 2**20, 2**31, 2**40, 2**63, 2**64 - 1):
            yield f"{name}-size-{size:x}", changed(index, size=size)
        for offset in (0, 1, 2**31, 2**63, 2**64 - 8):
            yield f"{name}-offset-{offset:x}", changed(index, offset=offset)
        yield f"{name}-nobits", changed(index, kind=8, size=2**30)
    for index in (2, 4):
        for link in (0, index + 1, 7, 99, 0xFFFFFFFF):
            yield f"symbols-link-{index}-{link:x}", changed(index, link=link)
        for entry_size in (0, 1, 23, 2**40):
            yield f"symbols-entry-{index}-{entry_size:x}", changed(index, entry_size=entry_size)
    yield "strings-no-nul", changed(3, data=b"x" * 5000)
    table, strings = symbols([b"malloc"] * 3, value=2**64 - 1, size=2**64 - 1)
    yield "symbols-far", changed(2, data=table)
    table, strings = symbols([b"n%d" % i for i in range(20000)])
    yield "symbols-many", changed(2, data=table)
    yield "symbols-name-far", changed(2, data=b"\0" * 24 + struct.pack("<IBBHQQ", 2**31, 0x12, 0, 1, BASE, 1))
    for name_size, desc_size in ((4, 2**32 - 1), (2**32 - 1, 20), (4, 0), (0, 20), (4, 65), (2**31, 2**31)):
        yield f"note-{name_size:x}-{desc_size:x}", changed(1, data=note(name_size, desc_size))
    # the build-id of another file: the daemon must not share tables by it between owners
    yield "note-lie", changed(1, data=note(desc=b"\xaa" * 20)) + b"another file"
    segments = [(1, 5, 0, BASE, 2**63, 2**63)] * 2
    yield "segment-giant", elf(base_sections(), segments=segments)
    yield "segment-wraps", elf(base_sections(), segments=[(1, 5, 0, 2**64 - 4096, 0x3000, 2**63)])
    yield "segments-same", elf(base_sections(), segments=[(1, 5, 0, BASE, 0x3000, 0x3000)] * 30, phnum=30)
    yield "interp-self", elf(base_sections(), segments=[(1, 5, 0, BASE, 0x3000, 0x3000),
                                                        (3, 4, 2**63, BASE, 2**63, 1)])
    for offset, size in ((0x2000, 64), (2**63, 64), (0x2000, 2**63), (0, 2**20)):
        yield f"dynamic-{offset:x}-{size:x}", elf(base_sections(), segments=[
            (1, 5, 0, BASE, 0x3000, 0x3000), (2, 4, offset, BASE + offset % 2**32, size, size)])
        yield f"eh-frame-hdr-{offset:x}-{size:x}", elf([], segments=[
            (1, 5, 0, BASE, 0x3000, 0x3000),
            (0x6474E550, 4, offset, BASE + offset % 2**32, size, size)])
    zipped = zlib.compress(plain_eh_frame(), 9)
    bomb = zlib.compress(b"\0" * (8 << 20), 9)
    yield "compressed", elf([compressed(".debug_frame", len(plain_eh_frame()), zipped)])
    yield "compressed-lie", elf([compressed(".debug_frame", 2**40, zipped)])
    yield "compressed-bomb", elf([compressed(".debug_frame", 8 << 20, bomb)])
    yield "compressed-kind", elf([compressed(".debug_frame", 64, zipped, kind=7)])
    yield "compressed-cut", elf([compressed(".debug_frame", 8 << 20, bomb[:100])])
    yield "debug-frame", elf([Section(".debug_frame", entry(
        struct.pack("<I", 0xFFFFFFFF) + b"\x04\0\x08\0\x01\x78\x10\x0c\x07\x08\x90\x01") + entry(
        struct.pack("<IQQ", 0, BASE + CODE, 0x80) + PUSHES), flags=0)])
    for name, info, abbrevs, lines in dwarfs():
        yield f"dwarf-{name}", elf(base_sections() + [
            Section(".debug_info", info, flags=0), Section(".debug_abbrev", abbrevs, flags=0),
            Section(".debug_line", lines, flags=0)])
    info, abbrevs, lines = unit(cu(function(inlined(0x23)))), ABBREVS, line_program()
    plain = [Section(".debug_abbrev", abbrevs, flags=0), Section(".debug_line", lines, flags=0)]
    for name, claimed, packed in (
            ("good", len(info), zstd(info)), ("short", len(info) - 1, zstd(info)), ("long", 2**20, zstd(info)),
            ("lie", 2**40, zstd(info)), ("all", 2**64 - 1, zstd(info)), ("zero", 0, zstd(info)),
            ("frame-lie", len(info), zstd(info, 2**31)), ("noise", 500, random.Random(1).randbytes(500)),
            ("cut", len(info), zstd(info)[:-20]), ("bomb", 64 << 20, zstd_bomb(64 << 20)),
            ("bomb-lie", len(info), zstd_bomb(64 << 20))):
        yield f"zstd-{name}", elf(base_sections() + [compressed(".debug_info", claimed, packed, 2)] + plain)
    yield "zstd-many", elf(base_sections() + [compressed(".debug_info", 2**28, zstd_bomb(2**28), 2)] * 20)
    for name, data in packages():
        yield f"package-{name}", data
    yield "debuglink-no-nul", elf(base_sections() + [Section(".gnu_debuglink", b"x" * 300, flags=0)])
    yield "debuglink-path", elf(base_sections() + [
        Section(".gnu_debuglink", b"../../../etc/shadow\0\0\0\0\0", flags=0)])
    yield "debugaltlink", elf(base_sections() + [Section(".gnu_debugaltlink", b"/etc/shadow\0" + b"z" * 20,
                                                         flags=0)])
    yield "debugdata-noise", elf(base_sections() + [
        Section(".gnu_debugdata", b"\xfd7zXZ\0" + random.Random(1).randbytes(500), flags=0)])


# ---- other inputs ------------------------------------------------------------------------------

MAPS = b"""55d0c0a00000-55d0c0a01000 r-xp 00001000 fe:00 1234 /usr/bin/a program
7f0000000000-7f0000001000 rw-p 00000000 00:00 0 
7f0000002000-7f0000003000 r--s 00000000 00:01 99 /memfd:x (deleted)
7f0000004000-7f0000005000 r-xp 00000000 08:01 7 /tmp/new\\012line (deleted) (deleted)
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0 [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
"""

SMAPS = b"".join(line + b"\nSize:  4 kB\nRss:  4 kB\nAnonymous:  0 kB\nVmFlags: rd ex mr\n"
                 for line in MAPS.splitlines())

CUSTOMS = (b"alloc:a.out:take(size=arg1)", b"alloc:lib.so:take_array(count=arg1,size=arg2)",
           b"free:/usr/bin/x:give(ptr=arg6)",
           b"realloc:x:again(ptr=arg1,count=arg2,size=arg3)", b"alloc:x+0x1000(size=arg2)",
           b"alloc:a:b(size=arg1)\nfree:a:c(ptr=arg1)\nfree:a:c(ptr=arg1)")



def packed_text(text):
    return struct.pack("<Q", len(text)) + text


def packed_site(name=b"malloc", role=1, flags=8, returns=1, place=0x1004, registers=b"\7\0\0", exits=()):
    """As worker_pack.c writes one."""
    return (packed_text(name) + packed_text(b"glibc 2.36") + packed_text(b"push %r12") + packed_text(b"") +
            struct.pack("<IIIQQQQQII", role, flags, returns, 0x401000, 0x1000, 64, 0x401004, place, 0x55, 1) +
            registers + struct.pack("<I", len(exits)) +
            b"".join(struct.pack("<QII", offset, register, 0xC3) for offset, register in exits))


def packed_surveys():
    """What a worker answers, and what it might if it were taken over."""
    def survey(allocators=(), customs=(), candidates=(), entries=0, hidden=0, error=0):
        def sites(them):
            return struct.pack("<I", len(them)) + b"".join(them)

        return (struct.pack("<IIIII", 2, 62, 3, hidden, 0) + packed_text(b"\x12" * 20) + packed_text(b"libc.so.6") +
                packed_text(b"glibc 2.36") + packed_text(b"") + packed_text(b"") +
                struct.pack("<IQQQQII", 1, 0x401000, 0x1000, 0x1000, 0x1000, 1, 0) +
                struct.pack("<I", entries) + b"".join(struct.pack("<QII", 0x401000 + i, 9, 1) for i in range(entries)) +
                sites(allocators) + sites(()) + sites(customs) + sites(candidates) +
                struct.pack("<III", hidden, error, 2 if error else 0) + packed_text(b"why" if error else b""))

    good = packed_site()
    yield "none", survey()
    yield "one", survey([good], error=2)
    yield "exits", survey([packed_site(returns=2, exits=((0x1010, 0), (0x1020, 7)))], [packed_site(b"free", 5, returns=0)])
    yield "refused", survey([packed_site(flags=4, place=0)])
    yield "outside", survey([packed_site(place=0x2000)])
    yield "register", survey([packed_site(registers=b"\x10\0\0")])
    yield "entries", survey(candidates=[good] * 8, entries=1, hidden=2)
    yield "candidates", survey(candidates=[good] * 7, entries=1, hidden=2)


CODES = (b"\xf3\x0f\x1e\xfa\x55\x48\x89\xe5\x5d\xc3", b"\x48\x85\xff\x74\x02\xff\xe0\xc3",
         b"\x41\x57\x41\x56\x53\x48\x83\xec\x10\x48\x83\xc4\x10\x5b\x41\x5e\x41\x5f\xc3",
         b"\xe9\x00\x01\x00\x00", b"\xff\x25\x00\x00\x00\x00", b"\x0f\x1f\x44\x00\x00\xeb\xfe",
         b"\x48\x83\x3d\x00\x00\x00\x00\x00\x75\xf4\xc3")

PLAIN_NAMES = ["std::pair<std::_Node_iterator<int, true>, bool> std::_Hashtable<int, long>::emplace<int&>(int&, long)",
               "f(int)::{lambda(std::map<a, b> const&)#1}::operator()(std::map<a, b>&) const [clone .part.0]",
               "<alloc::vec::Vec<app::Session> as core::clone::Clone>::clone", "core::ptr::drop_in_place::<app::Session>",
               "std::ostream& std::operator<< <std::char_traits<char> >(std::ostream&, char const*)",
               "g<(((sizeof (long))<(4))), a_name::long_enough>::f()", "main.(*Server).handle",
               "(anonymous namespace)::Cache<int>::operator->() const", "app::serve::{closure#0}::{{closure}}"]
NAMES = (b"_ZNSt6vectorIiSaIiEE9push_backEOi", b"_ZN4core3ptr85drop_in_place$LT$std..rt$GT$17h0123456789abcdefE",
         b"_RNvCs1234_7mycrate3foo", b"_ZZN1a1bEvENKUlvE_clEv.part.0", b"malloc@@GLIBC_2.2.5", b"_Z" + b"S_" * 40,
         b"_RINvNtC3std3mem8align_ofdE", b"_ZN1aI" + b"NS_1bI" * 60 + b"E" * 61)


def write(folder, name, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


ASSERTIONS = [b"live.bytes == 0", b"peak.bytes < 64MiB", b"stack(/parse_/).growth == 0", b"growth.blocks <= 10",
              b"total.blocks <= baseline * 1.05", b"live.bytes != baseline + 1.5 KiB", b"stack(/^main$/).live.byts == 0"]
FIGURES = b"".join(b', "%s_%s": 1' % (when, what) for when in (b"live", b"peak", b"total") for what in (b"bytes", b"blocks"))
BASELINE = (b'{"dhatd_baseline": 1, "program": "p", "verdict": "exact", "totals": {"x": 1' + FIGURES
            + b'}, "stacks": [\n{"stack": ["f (a.c)", "main (a.c)"]' + FIGURES + b'},\n{"stack": ["g"]' + FIGURES
            + b"}\n]}\n")
READ_BACK = (b'{"dhatFileVersion":2,"mode":"heap","bklt":true,"tu":"instrs","te":2,"tg":1,"cmd":"p","pid":7,"pps":['
             b'{"tb":8,"tbk":2,"tl":9,"mb":8,"mbk":2,"gb":8,"gbk":2,"eb":4,"ebk":1,"fs":[1]}],"ftbl":["[root]","%s"]}')
JSON_LINES = (b'{"type":"totals","pid":7,"executable":"/x","verdict":"exact","observed_ns":9,"reasons":[],"points":1}\n'
              b'{"type":"point","total_bytes":8,"total_blocks":2,"live_bytes":4,"stack":["f (a.c:1)","g (/x)","%s"]}\n')
FRAME_LINES = [b"0x1: f (a.c:1:2)", b"0x1: ??? (in /x (deleted)+0x12)", b"0x1: ??? (in no file)", b"[3 frames left out]",
               b"0x1: (anonymous namespace)::f (in /x)", b"[stack ends early: no rule]"]


TRIGGERS = [b"rss>2GiB", b"live > 500M for 90s", b"growth>10MiB/min for 5m", b"overhead>2.5% for 30s", b"psi.memory>10%",
            b"cgroup.psi.memory>0.5%", b"cgroup.memory.high", b"cgroup.memory.max", b"failed-allocation", b"exit", b"oom"]

CONFIG = b"""# nginx
[watch nginx]
unit = nginx.service
on = rss>2GiB
exec = /bin/true x
follow-fork = yes
max-targets = 3
[watch b]
name = ^b$
alloc = b:f(size=arg1)
"""


def main():
    top = Path(sys.argv[1])
    noise = random.Random(1)
    for name, data in elf_files():
        write(top / "elf", name, data)
    for name, frames in eh_frames():
        write(top / "cfi", f"frames-{name}", frames)
        for i in range(0, min(len(frames), 200), 8):
            write(top / "cfi_program", f"{name}-{i}", frames[i:i + 40])
    write(top / "procmaps", "maps", MAPS)
    for i, line in enumerate(MAPS.splitlines()):
        write(top / "procmaps", f"line-{i}", line)
    write(top / "smaps", "smaps", SMAPS)
    write(top / "jit", "map", b"1000 10 first\n0x2000 0x20 second with blanks\r\n1008 4 newer\nrubbish\n3000 10 cut")
    load = struct.pack("<IIQIIQQQQ", 0, 56 + 6 + 8, 1, 1, 1, 0x1000, 0x1000, 16, 1) + b"first\0" + b"12345678"
    write(top / "jit", "dump", struct.pack("<6I2Q", 0x4A695444, 1, 40, 62, 0, 1, 0, 0) + 2 * load)
    for i, text in enumerate(CUSTOMS):
        write(top / "custom", f"custom-{i}", text)
    for i, text in enumerate(ASSERTIONS):
        write(top / "assertion", f"assertion-{i}", text)
        write(top / "assertion", f"baseline-{i}", text + b"\0" + BASELINE)
    write(top / "config", "config", CONFIG)
    for i, text in enumerate(TRIGGERS):
        write(top / "trigger", f"trigger-{i}", text + b"\0" + bytes(range(64)))
    for i, code in enumerate(CODES):
        for flags in (0, 3, 13):
            write(top / "prologue", f"code-{i}-{flags}", bytes([flags]) + code)
        write(top / "cfi_code", f"code-{i}", code * 8)
    for i, name in enumerate(NAMES):
        write(top / "demangle", f"name-{i}", name)
    for i, name in enumerate(PLAIN_NAMES):
        write(top / "function_name", f"name-{i}", name.encode())
    for golden in sorted((Path(__file__).parent.parent / "golden").glob("*.dhat.json")):
        write(top / "readback", golden.name, golden.read_bytes())
        write(top / "readback", f"others-{golden.name}", golden.read_bytes().replace(b'"dhatd"', b'"x"'))
    for i, line in enumerate(FRAME_LINES):
        write(top / "readback", f"line-{i}", READ_BACK % line)
        write(top / "readback", f"json-lines-{i}", JSON_LINES % line)
    for i, text in enumerate((b"localhost:9664\0http://localhost:9664\0" b"0123456789abcdef", b"[::1]:80", b"[::ffff:127.0.0.1]:1",
                              b"10.0.0.1:9664\0null\0x", b"127.0.0.1")):
        write(top / "http", f"claim-{i}", text)
    write(top / "message", "request", b"\x08\x01\x12\x02\x08\x05")
    write(top / "message", "snapshot", b"DHATSNAP" + struct.pack("<IIIIII", 1, 0, 2, 0x0A, 0xFFFFFFFF, 0))
    write(top / "message", "frame-giant", b"DHATSNAP" + struct.pack("<III", 1, 0, 0x7FFFFFFF) + b"\0" * 64)
    for name, data in packed_surveys():
        write(top / "worker_reply", f"survey-{name}", data)
    for i in range(20):
        write(top / "worker_reply", f"noise-{i}", b"".join(
            struct.pack("<I", noise.choice((0, 1, 2, 3, 20, 2**31, 2**32 - 1))) for _ in range(80)))
        rows = b"".join(struct.pack("<HBbi", j * 256, noise.randrange(7), noise.randrange(-4, 3),
                                    noise.randrange(8, 64, 8)) for j in range(64))
        stack = b"".join(struct.pack("<Q", noise.choice((0x400000 + noise.randrange(0x4000),
                                                         0x7FFD00000000 + 8 * noise.randrange(256))))
                         for _ in range(256))
        write(top / "unwind", f"walk-{i}", struct.pack("<4Q", 0x400000 + noise.randrange(0x4000),
                                                       0x7FFD00000000, 0x7FFD00000100, 64) + rows + stack)


if __name__ == "__main__":
    main()
