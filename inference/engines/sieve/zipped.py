"""Archives that can be read in one way only: a zip whose readers could disagree about what it holds is refused.

torch reads the central directory and takes no notice of the case of names; other readers go by local headers, take the last of two
members of one name, or look for the end from the end. What is sieved must be what is loaded, so only the common part of all is let through.
"""

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from inference.engines.errors import HostileModel, UnreadableModel

MOST_MEMBERS = 65_536
_MOST_NAME = 1024
_GROWTH = 8
_SPARE_BYTES = 64 << 20
"""A member may claim more bytes than the file has, as far as compressed text does: `_GROWTH` times the file, and this much."""

_LOCAL, _CENTRAL, _END, _END64, _LOCATOR, _AFTER = b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08"
_STORED, _DEFLATED = 0, 8
_SIZES_BEHIND = 1 << 3
_FLAGS = _SIZES_BEHIND | 1 << 11 | 0b110
_NAME = re.compile(r"[A-Za-z0-9_.,+@=()\[\] -]+(/[A-Za-z0-9_.,+@=()\[\] -]+)*")
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
_ZIP64 = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMember:
    """One file of an archive: where its bytes lie (`start`, `packed` bytes of them), and what they become."""

    name: str
    compressed: bool
    start: int
    packed: int
    size: int
    crc: int


class Archive:
    """A zip in memory, its structure checked; nothing is unpacked before it is asked for.

    Parameters
    ----------
    what
        The file, for sentences.

    Raises
    ------
    UnreadableModel
        It is no zip.
    HostileModel
        Two readers could find different things in it, or it grows beyond bounds.
    """

    def __init__(self, content: bytes, what: str) -> None:
        self._content = content
        self.what = what
        if not content.startswith(_LOCAL):
            raise UnreadableModel(f"{what} does not begin as an archive (zip)")
        try:
            start, end, count = self._directory()
            self.members: Mapping[str, ArchiveMember] = self._members(start, end, count)
        except struct.error as short:
            raise UnreadableModel(f"{what} is a damaged archive: it ends in the middle of a header") from short

    def read(self, name: str, most: int) -> bytes:
        """The bytes of a member, unpacked within its bounds, its checksum compared.

        Raises
        ------
        HostileModel
        """
        member = self.members[name]
        if member.size > most:
            raise HostileModel(f"{self.what}: {name} has {member.size} bytes; at most {most} are read")
        packed = self._content[member.start : member.start + member.packed]
        if not member.compressed:
            found = packed
        else:
            unpack = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                # one more than it says: whatever it claims of itself is not believed
                found = unpack.decompress(packed, member.size + 1)
            except zlib.error as broken:
                raise UnreadableModel(f"{self.what}: {name} cannot be unpacked: {broken}") from broken
            if not unpack.eof or unpack.unused_data:
                raise HostileModel(f"{self.what}: {name} does not unpack to the {member.size} bytes that it claims")
        if len(found) != member.size or zlib.crc32(found) != member.crc:
            raise HostileModel(f"{self.what}: {name} is not what its checksum says")
        return found

    def _directory(self) -> tuple[int, int, int]:
        """Begin and end of the one central directory, and how many members it lists."""
        content, what = self._content, self.what
        at = len(content) - 22
        if at < 0 or content[at : at + 4] != _END:
            raise HostileModel(f"{what} has bytes behind the end of its archive, or a comment there")
        disk, first, here, count, size, start, comment = struct.unpack("<HHHHIIH", content[at + 4 : at + 22])
        end = at
        if content[at - 20 : at - 16] == _LOCATOR:
            end64 = struct.unpack("<Q", content[at - 12 : at - 4])[0]
            end = at - 20 - 56
            if end < 0 or end64 != end or content[end : end + 4] != _END64:
                raise HostileModel(f"{what} has a second end of its archive")
            length, _, _, disk64, first64, here64, count64, size64, start64 = struct.unpack("<QHHIIQQQQ", content[end + 4 : end + 56])
            small, large = (here, count, size, start), (here64, count64, size64, start64)
            full = (_FULL16, _FULL16, _FULL32, _FULL32)
            if (
                length != 44
                or disk64
                or first64
                or any(one not in (top, other) for one, other, top in zip(small, large, full, strict=True))
            ):
                raise HostileModel(f"{what} has two ends of its archive, which do not agree")
            here, count, size, start = large
        if disk or first or here != count or comment or start + size != end:
            raise HostileModel(f"{what} has a central directory that does not end where its archive does")
        if count > MOST_MEMBERS:
            raise HostileModel(f"{what} holds {count} files; at most {MOST_MEMBERS} are read")
        return start, end, count

    def _members(self, start: int, end: int, count: int) -> dict[str, ArchiveMember]:
        content, what = self._content, self.what
        found: list[tuple[int, int, ArchiveMember]] = []
        seen: set[str] = set()
        at = start
        for _ in range(count):
            if content[at : at + 4] != _CENTRAL:
                raise HostileModel(f"{what} has a central directory that lists other than {count} files")
            fields = struct.unpack("<HHHHHHIIIHHHHHII", content[at + 4 : at + 46])
            _, _, flags, method, _, _, crc, packed, size, names, extras, comments, disk, _, _, local = fields
            raw = content[at + 46 : at + 46 + names]
            extra = content[at + 46 + names : at + 46 + names + extras]
            at += 46 + names + extras + comments
            name = self._name(raw)
            size, packed, local = _wide(extra, (size, packed, local))
            if disk or comments or method not in (_STORED, _DEFLATED) or flags & ~_FLAGS:
                raise HostileModel(f"{what}: {name} is packed in a way that models are not (method {method}, flags {flags})")
            # torch finds a member whatever the case of its name
            if name.casefold() in seen:
                raise HostileModel(f"{what} holds two files of the name {name}")
            seen.add(name.casefold())
            if method == _STORED and packed != size:
                raise HostileModel(f"{what}: {name} has two sizes")
            member = ArchiveMember(name=name, compressed=method == _DEFLATED, start=0, packed=packed, size=size, crc=crc)
            found.append((local, flags, member))
        if at != end:
            raise HostileModel(f"{what} has a central directory that lists other than {count} files")
        grown = sum(member.size for _, _, member in found)
        if grown > _GROWTH * len(content) + _SPARE_BYTES:
            raise HostileModel(f"{what} has {len(content)} bytes and would become {grown}")
        return self._placed(found, start)

    def _placed(self, found: list[tuple[int, int, ArchiveMember]], end: int) -> dict[str, ArchiveMember]:
        """Members lie one behind the other, from the first byte to the central directory, each with a header that says the same of it."""
        content, what = self._content, self.what
        found.sort(key=lambda each: each[0])
        placed: dict[str, ArchiveMember] = {}
        here = 0
        for number, (local, flags, member) in enumerate(found):
            after = found[number + 1][0] if number + 1 < len(found) else end
            if local != here or content[local : local + 4] != _LOCAL:
                raise HostileModel(f"{what} has bytes that belong to no file before {member.name}")
            _, said, method, _, _, crc, packed, size, names, extras = struct.unpack("<HHHHHIIIHH", content[local + 4 : local + 30])
            raw = content[local + 30 : local + 30 + names]
            begin = local + 30 + names + extras
            size, packed, _ = _wide(content[local + 30 + names : begin], (size, packed, 0))
            same = (member.packed, member.size, member.crc)
            if (
                raw.decode("latin-1") != member.name
                or said != flags
                or (method == _DEFLATED) != member.compressed
                or ((packed, size, crc) != same and not (flags & _SIZES_BEHIND and (packed, size, crc) == (0, 0, 0)))
            ):
                raise HostileModel(f"{what}: the two headers of {member.name} do not agree")
            behind = content[begin + member.packed : after] if begin + member.packed <= after else b"?"
            if behind not in (_descriptors(member) if flags & _SIZES_BEHIND else (b"",)):
                raise HostileModel(f"{what} has bytes that belong to no file behind {member.name}")
            placed[member.name] = ArchiveMember(
                name=member.name,
                compressed=member.compressed,
                start=begin,
                packed=member.packed,
                size=member.size,
                crc=member.crc,
            )
            here = after
        return placed

    def _name(self, raw: bytes) -> str:
        name = raw.decode("latin-1")
        if len(raw) > _MOST_NAME or not _NAME.fullmatch(name) or any(part in (".", "..") for part in name.split("/")):
            raise HostileModel(f"{self.what} holds a file with the name {name[:80]!r}")
        return name


def _wide(extra: bytes, fields: tuple[int, int, int]) -> tuple[int, int, int]:
    """Size, packed size and place, with what a zip64 extra field says in the place of those that do not fit into 32 bits."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[at : at + 4])
        if kind == _ZIP64:
            values = iter(struct.unpack(f"<{length // 8}Q", extra[at + 4 : at + 4 + length // 8 * 8]))
            size, packed, place = (next(values, each) if each == _FULL32 else each for each in fields)
            return size, packed, place
        at += 4 + length
    return fields


def _descriptors(member: ArchiveMember) -> tuple[bytes, ...]:
    """The forms in which checksum and sizes may follow a member's bytes."""
    forms = []
    for kind in ("<III", "<IQQ"):
        if kind == "<IQQ" or max(member.packed, member.size) <= _FULL32:
            said = struct.pack(kind, member.crc, member.packed, member.size)
            forms += [_AFTER + said, said]
    return tuple(forms)
