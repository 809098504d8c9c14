"""
Damage to the record of a session: each field of its hash, in each way it can be wrong.

A case says which value a field has then; None takes the field away.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from memory_cache import Header

Record = Mapping[str, bytes]

BLOCK = 64


class Case(NamedTuple):
    """One field that is wrong. ``part``: which kind it is, for what must tell of it."""

    part: str
    name: str
    field: str
    value: bytes | None


def cases(record: Record) -> Iterator[Case]:
    """Every way in which this record may be damaged so that it can be told."""
    header = Header.parse(record["h"])
    yield from headers(header)
    yield from _fields()
    yield from _records(header)
    last = header.next - 1
    active = header.next % BLOCK
    first, sealed = header.first // BLOCK, header.next // BLOCK - 1
    messages = {f"m{last}", f"m{last - active + 1}"} if active else set()
    for field in sorted(messages):
        yield from _messages(field, record[field])
    for number in {first, sealed} if sealed >= first else ():
        part = "tail" if number == last // BLOCK else "sealed"
        yield from _blocks(part, f"b{number}", record[f"b{number}"])
        yield from _sidecars(part, f"t{number}", record[f"t{number}"])
        if f"d{number}" in record:
            yield from _digests(part, f"d{number}", record[f"d{number}"])
    if active:
        sidecar = record[f"t{last // BLOCK}"]
        yield from _sidecars("tail", f"t{last // BLOCK}", sidecar)
        yield from _active_sidecars(f"t{last // BLOCK}", sidecar)


def headers(header: Header) -> Iterator[Case]:
    """Every way in which a header may be none, or against what is there."""
    line = header.line().encode()
    size, count = header.size, header.next - header.first
    far = 10**8
    wrong = {
        "garbage": b"garbage",
        "empty": b"",
        "cut": line[: len(line) // 2],
        "without its last number": line.rpartition(b":")[0] + b":",
        "binary": b"\xff\xfe\0" + line,
        "two lines": line + b"\n" + line,
        "another format": b"3" + line[1:],
        "next 10**20": _with(header, next=10**20),
        "next 10**20, size 10**21": _with(header, next=10**20, size=10**21),
        "next 10**8": _with(header, next=far),
        "first 10**20": _with(header, first=10**20),
        "first beyond next": _with(header, first=header.next + 1),
        "fewer bytes than messages have": _with(header, size=2 * count - 1),
        "bytes of nothing": _with(header, first=header.next),
        "edits 10**20": _with(header, edits=10**20),
        "edits that were no changes": _with(header, edits=header.num),
        "fields that were not changed": _with(header, fields_num=header.num + 1),
        "tokens 2**53": _with(header, token_count=2**53),
        "newest 10**18": _with(header, max_created=10**18),
        "updated 10**20": _with(header, updated=10**20),
        "created 2**53": _with(header, created=2**53),
        "ttl 10**20": _with(header, ttl_ms=10**20),
        "a negative number": _with(header, ttl_ms=-5),
        "num 2**53": _with(header, num=2**53),
        "a name that is none": _with(header, tag="a.b"),
        "no reign": line.rpartition(b" ")[0] + b" ",
        "reign in the future": _with(header, eras=(("e", header.num + 1),)),
        "reigns out of order": _with(header, eras=(("e", 1), ("f", 1))),
        "reign without an end": _with(header, eras=(("e" * 3000, 1),)),
        "a long reign": _with(header, eras=(("e" * 1500, 1),)),
        "a long reign behind another": _with(
            header, num=header.num + 1, eras=(("a", 1), ("e" * 63, 2))
        ),
        "a long name": _with(header, inc="i" * 5000),
        "next 10**14": _with(header, next=10**14, size=10**15),
    }
    for name, value in wrong.items():
        yield Case("h", name, "h", value)
    yield Case("h", "missing", "h", None)
    # Right in itself: the end must be looked at to tell.
    for name, value in {
        "next 10**8, size 10**9": _with(header, next=far, size=10**9),
        "next 10**14 - 1, size 2**53 - 1": _with(header, next=10**14 - 1, size=2**53 - 1),
    }.items():
        yield Case("h far", name, "h", value)
    yield Case("h end", "next beyond the end", "h", _with(header, next=header.next + 2))
    yield Case("h end", "next before the end", "h", _with(header, next=header.next - 2))
    # Only who reads all messages can tell.
    yield Case("size", "one byte more", "h", _with(header, size=size + 1))


def _with(header: Header, **changes: object) -> bytes:
    return header._replace(**changes).line().encode()  # type: ignore[arg-type] # wrong on purpose


def _fields() -> Iterator[Case]:
    for name, value in {
        "binary": b"\xff\xfe\0",
        "cut": b'{"context":"cont',
        "cut to another bracket": b'{"data":{"a":1}',
        "a list": b"[1]",
        "a text": b'"text"',
        "null": b"null",
        "empty": b"",
        "two lines": b"{}\n{}",
        "not UTF-8": b'{"context":"\xff"}',
        "nested deeper than can be written": b'{"data":' + b"[" * 300 + b"]" * 300 + b"}",
        "missing": None,
    }.items():
        yield Case("f", name, "f", value)


def _messages(field: str, value: bytes) -> Iterator[Case]:
    for name, wrong in {
        "cut in half": value[: len(value) // 2],
        "cut to a bracket": value[:-3] + b"}",
        "binary": b"\xff\xfe\0",
        "not UTF-8, of the same length": value.replace(b"message", b"mess\xc3ge"),
        "two lines": value + b"\n" + value,
        "a list": b"[1]",
        "empty": b"",
        "missing": None,
        "another one": b'{"role":"user"}',
    }.items():
        yield Case("m", name, field, wrong)


def _blocks(part: str, field: str, value: bytes) -> Iterator[Case]:
    for name, wrong in {
        "cut in half": value[: len(value) // 2],
        "cut between messages": value.rpartition(b"\n")[0],
        "cut at its beginning": value[9:],
        "binary": b"\xff\xfe\0",
        "not UTF-8, of the same length": value.replace(b"message", b"mess\xffge", 1),
        "one line more": value + b"\n{}",
        "empty": b"",
        "missing": None,
    }.items():
        yield Case(part, name, field, wrong)


def _sidecars(part: str, field: str, value: bytes) -> Iterator[Case]:
    head, *lines = value.split(b"\n")
    for name, wrong in {
        "cut in half": value[: len(value) // 2].rpartition(b"\n")[0],
        "binary": b"\xff\xfe\0" + value,
        "garbage": b"garbage",
        "one line more": value + b"\n1 1",
        "one line less": b"\n".join((head, *lines[:-1])),
        "empty": b"",
        "missing": None,
    }.items():
        yield Case(part, name, field, wrong)
    lines[0] = b"1 " + b"f" * 40
    yield Case(part + " lines", "a time beyond all years", field, b"\n".join((head, *lines)))
    lines[0] = b"-1 0"
    yield Case(part + " lines", "tokens below 0", field, b"\n".join((head, *lines)))


def _active_sidecars(field: str, value: bytes) -> Iterator[Case]:
    before, size, last = map(int, re.findall(rb"\d+", value)[:3])
    rest = value.partition(b"\n")[2]
    for name, head in {
        "another size": (before, size + 1, last),
        "another last time": (before, size, last - 1),
        "a first time beyond all": (10**18, size, last),
    }.items():
        text = b" ".join(b"%d" % number for number in head)
        yield Case("tail lines", name, field, text + b"\n" + rest)
    yield Case("tail head", "without a size", field, b"%d\n" % before + rest)


def _digests(part: str, field: str, value: bytes) -> Iterator[Case]:
    for name, wrong in {"cut": value[:20], "binary": b"\xff\xfe", "empty": b""}.items():
        yield Case(f"{part} d", name, field, wrong)
    yield Case("d", "another's", field, value[::-1])


def _records(header: Header) -> Iterator[Case]:
    tag, end = header.tag.encode(), header.next
    for name, value in {
        "cut": tag[:5],
        "binary": b"\xff\xfe\0",
        "garbage": tag + b" garbage",
        "a number": tag + b" 7",
        "other facts": tag + b' [3,"x",1,[]]\nhead',
        "empty": b"",
    }.items():
        yield Case("p", name, "p", value)
    for name, value in {
        "garbage": b"garbage",
        "binary": b"\xff\xfe\0",
        "empty": b"",
        "far": b"t 1 1 %d 10000000000000000000000" % end,
        "before the end": b"t 1 1 0 9",
        "backwards": b"t 1 1 %d 0" % (end + 640),
        "more blocks than fields": b"t 1 1 %d %d" % (end, end // BLOCK + 1000),
        "cut": b"t 1 1",
    }.items():
        yield Case("w", name, "w", value)
