"""Mutations of a tarball: paths that lead out of it, links, devices, and members that would fill memory."""

import gzip
import io
import tarfile
from pathlib import Path

from tests.fuzz.mutation import mutation
from tests.fuzz.victims import Victim, packed


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def _inserted(victim: Victim, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    there = victim.members()
    at = victim.rng.randint(0, len(there))
    victim.write_members([*there[:at], *members, *there[at:]])


def _record(number: int) -> bytes:
    return f"Time,Parameter,Value\n00:00,RecordID,{number}\n".encode()


@mutation(of="tar")
def paths_out_of_the_tarball(victim: Victim) -> None:
    outside = victim.raw.parent / "outside"
    paths = [f"{outside}/1.txt", "../2.txt", "../outside/canary.txt", "set-a/../../../3.txt", f"{outside}/canary.txt"]
    contents = [_record(int(stem) if (stem := Path(path).stem).isdigit() else 0) for path in paths]
    _inserted(victim, *zip(map(_member, paths), contents, strict=True))


@mutation(of="tar", ends="same rows")
def links_and_devices(victim: Victim) -> None:
    canary = str(victim.raw.parent / "outside" / "canary.txt")
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    _inserted(victim, *((_member(f"set-a/{9000 + i}.txt", kind, canary), b"") for i, kind in enumerate(kinds)))


@mutation(of="tar", ends="refused")
def record_twice(victim: Victim) -> None:
    member, content = next((m, c) for m, c in reversed(victim.members()) if m.isfile())
    _inserted(victim, (_member(f"elsewhere/{Path(member.name).name}"), content))


@mutation(of="tar", ends="same rows")
def members_that_are_no_records(victim: Victim) -> None:
    names = [
        "README.txt",
        "set-a/._132539.txt",
        "set-a/1.txt.bak",
        "Thumbs.db",
        "x" * 300,
        "\u00fc/\u4e2d.txt",
        "a\nb.txt",
    ]
    _inserted(victim, *((_member(name), b"\0\1\2") for name in names))


@mutation(of="tar", ends="refused")
def record_of_a_gigabyte(victim: Victim) -> None:
    head = _member("set-a/1.txt")
    head.size = 1 << 30
    victim.write_bytes(packed(head.tobuf(tarfile.GNU_FORMAT)) + packed(bytes(1 << 20)) * 20)


@mutation(of="tar", ends="refused")
def header_of_a_gigabyte(victim: Victim) -> None:
    head = _member("././@PaxHeader", victim.rng.choice([tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME]))
    head.size = 1 << 30
    victim.write_bytes(packed(head.tobuf(tarfile.GNU_FORMAT)) + packed(bytes(1 << 20)) * 20)


@mutation(of="tar", ends="refused")
def tarball_cut(victim: Victim) -> None:
    text = gzip.decompress(victim.path.read_bytes())
    starts = [member.offset_data for member, content in victim.members() if content]
    victim.write_bytes(packed(text[: victim.rng.choice(starts) + 1]))


@mutation(of="tar", ends="refused")
def tarball_of_nothing(victim: Victim) -> None:
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    victim.write_bytes(packed(empty.getvalue()))
