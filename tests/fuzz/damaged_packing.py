"""Mutations of what a file is packed in: gzip, and the folder that it lies in."""

import gzip
import os

from tests.fuzz.mutation import flip, mutation
from tests.fuzz.victims import Victim, packed


@mutation(of="gz", ends="refused")
def packed_file_cut(victim: Victim) -> None:
    content = victim.path.read_bytes()
    victim.write_bytes(content[: victim.rng.randrange(1, len(content))])


@mutation(of="gz")
def bits_of_the_packed_file_flipped(victim: Victim) -> None:
    victim.write_bytes(flip(victim, victim.path.read_bytes()))


@mutation(of="gz", ends="refused")
def gzip_trailer_wrong(victim: Victim) -> None:
    content = victim.path.read_bytes()
    at = victim.rng.randrange(len(content) - 8, len(content))
    victim.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])


@mutation(of="gz")
def bytes_after_the_gzip_trailer(victim: Victim) -> None:
    victim.write_bytes(victim.path.read_bytes() + victim.rng.choice([b"\0" * 512, b"garbage", b"\x1f\x8b"]))


@mutation(of="gz", ends="same rows")
def gzip_of_several_members(victim: Victim) -> None:
    text = gzip.decompress(victim.path.read_bytes())
    at = victim.rng.randrange(len(text))
    victim.write_bytes(packed(text[:at]) + packed(text[at:]))


@mutation(of="gz", ends="refused")
def named_gz_but_not_packed(victim: Victim) -> None:
    victim.write_bytes(gzip.decompress(victim.path.read_bytes()))


@mutation(of="gz", ends="refused")
def packed_twice(victim: Victim) -> None:
    victim.write_bytes(packed(victim.path.read_bytes()))


@mutation(of="gz", ends="refused")
def gzip_bomb_of_rows(victim: Victim) -> None:
    header, *rows = victim.text().splitlines(keepends=True)
    row = rows[0] if rows and not victim.is_tar else b"0" * 99 + b"\n"
    victim.write_bytes(packed(header) + packed(row * ((1 << 20) // len(row)), level=9) * 40)


@mutation(of="gz", ends="refused")
def gzip_bomb_of_nuls(victim: Victim) -> None:
    start = victim.text().partition(b"\n")[0] + victim.rng.choice([b"", b"\n"])
    victim.write_bytes(packed(b"" if victim.is_tar else start) + packed(bytes(1 << 20), level=9) * 40)


@mutation(ends="refused")
def same_part_under_another_name(victim: Victim) -> None:
    stem, suffix = victim.path.name.split(".", 1)
    content = victim.path.read_bytes()
    other = {"tar.gz": "tar", "csv.gz": "csv", "txt": "csv"}[suffix]
    corrected = gzip.decompress(content) if victim.is_gzipped else content + b"\n"
    victim.path.with_name(f"{stem}.{other}").write_bytes(corrected)


@mutation(ends="refused")
def link_to_nowhere(victim: Victim) -> None:
    victim.path.unlink()
    victim.path.symlink_to(victim.raw.parent / "outside" / "gone")


@mutation(ends="refused")
def pipe_in_its_place(victim: Victim) -> None:
    victim.path.unlink()
    os.mkfifo(victim.path)


@mutation(ends="refused")
def link_to_a_device(victim: Victim) -> None:
    victim.path.unlink()
    victim.path.symlink_to("/dev/zero")


@mutation()
def folder_in_its_place(victim: Victim) -> None:
    victim.path.unlink()
    victim.path.mkdir()
