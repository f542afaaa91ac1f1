"""Mutations of a text as bytes: flipped, cut, in another encoding, with other line ends."""

from tests.fuzz.mutation import flip, mutation
from tests.fuzz.victims import Victim


@mutation()
def bits_of_the_text_flipped(victim: Victim) -> None:
    victim.write_text(flip(victim, victim.text()))


@mutation()
def bits_of_the_header_flipped(victim: Victim) -> None:
    header, end, body = victim.text().partition(b"\n")
    victim.write_text(flip(victim, header) + end + body)


@mutation()
def text_cut(victim: Victim) -> None:
    text = victim.text()
    victim.write_text(text[: victim.rng.randrange(len(text))])


@mutation()
def nuls_inserted(victim: Victim) -> None:
    text = victim.text()
    at = victim.rng.randrange(len(text))
    victim.write_text(text[:at] + b"\0" * victim.rng.randint(1, 600) + text[at:])


@mutation()
def quotation_mark_inserted(victim: Victim) -> None:
    text = victim.text()
    at = victim.rng.choice([i for i, c in enumerate(text) if c in b",\n"]) + 1
    victim.write_text(text[:at] + b'"' + text[at:])


@mutation(of="all", ends="refused")
def no_byte_left(victim: Victim) -> None:
    victim.write_text(b"")


@mutation()
def header_alone(victim: Victim) -> None:
    victim.write_text(victim.text().partition(b"\n")[0])


@mutation(ends="same rows")
def empty_lines_between(victim: Victim) -> None:
    header, *lines = victim.text().split(b"\n")
    if b'"' in victim.text():
        lines = [*lines, b"", b""]
    else:
        at = victim.rng.randrange(len(lines))
        lines = [*lines[:at], b"", b"", *lines[at:]]
    victim.write_text(b"\n".join([header, *lines]))


@mutation(ends="refused")
def utf_16(victim: Victim) -> None:
    victim.write_text(victim.text().decode().encode(victim.rng.choice(["utf-16", "utf-16-le", "utf-16-be"])))


@mutation(ends="same rows")
def byte_order_mark(victim: Victim) -> None:
    victim.write_text(b"\xef\xbb\xbf" + victim.text())


@mutation(ends="same rows")
def crlf(victim: Victim) -> None:
    if b'"' not in victim.text():  # a line end inside a cell is a part of it
        victim.write_text(victim.text().replace(b"\n", b"\r\n"))


@mutation()
def cr_alone(victim: Victim) -> None:
    victim.write_text(victim.text().replace(b"\n", b"\r"))
