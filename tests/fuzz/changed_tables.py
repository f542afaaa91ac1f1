"""Mutations of a table: other columns, cells of another kind, rows lost, doubled and misplaced."""

import re
from collections.abc import Callable

from tests.fuzz.mutation import mutation
from tests.fuzz.victims import Victim


def _change_cells(victim: Victim, change: Callable[[str], str], share: float = 0.2) -> None:
    """Changes a share of the cells, at least one, below the header."""
    header, *rows = victim.rows()
    if rows:
        rows[0] = [change(cell) for cell in rows[0]]
    victim.write_rows([header, *([change(c) if victim.rng.random() < share else c for c in row] for row in rows)])


@mutation(ends="refused")
def column_missing(victim: Victim) -> None:
    rows = victim.rows()
    needed = [i for i, name in enumerate(rows[0]) if name.lower() not in victim.absent_ok]
    column = victim.rng.choice(needed)
    victim.write_rows([[*row[:column], *row[column + 1 :]] for row in rows])


@mutation()
def column_new(victim: Victim) -> None:
    header, *rows = victim.rows()
    at = victim.rng.randint(0, len(header))
    cells = (victim.rng.choice(["", "x", 'with "quotes", and a comma', "\u00b5g", "1"]) for _ in rows)
    wider = ([*row[:at], cell, *row[at:]] for row, cell in zip(rows, cells, strict=True))
    victim.write_rows([[*header[:at], "Added Later", *header[at:]], *wider])


@mutation(ends="same rows")
def columns_in_another_order(victim: Victim) -> None:
    rows = victim.rows()
    order = victim.rng.sample(range(len(rows[0])), len(rows[0]))
    victim.write_rows([[row[i] for i in order] for row in rows])


@mutation()
def names_of_columns_swapped(victim: Victim) -> None:
    header, *rows = victim.rows()
    victim.write_rows([victim.rng.sample(header, len(header)), *rows])


@mutation(ends="refused")
def column_twice(victim: Victim) -> None:
    header, *rows = victim.rows()
    victim.write_rows([[*header, victim.rng.choice(header)], *([*row, "1"] for row in rows)])


@mutation()
def many_columns(victim: Victim) -> None:
    header, *rows = victim.rows()
    more = victim.rng.choice([300, 20_000])
    victim.write_rows([[*header, *(f"c{i}" for i in range(more))], *([*row, *[""] * more] for row in rows[:5])])


@mutation(ends="refused")
def another_separator(victim: Victim) -> None:
    with_end = [[*row, "x"] for row in victim.rows()]  # so that a table of one column has a separator too
    victim.write_rows(with_end, delimiter=victim.rng.choice(";\t|"))


@mutation()
def rows_of_another_length(victim: Victim) -> None:
    header, *rows = victim.rows()
    changes: list[Callable[[list[str]], list[str]]] = [lambda r: r[:-1], lambda r: [*r, "1"], lambda r: r]
    victim.write_rows([header, *(victim.rng.choice(changes)(row) for row in rows)])


@mutation()
def numbers_that_are_none(victim: Victim) -> None:
    words = ["NaN", "inf", "-Infinity", "1e999", "1,5", "<5", "0x1F", "9" * 25, "-", "\u0661\u0662"]
    _change_cells(victim, lambda _: victim.rng.choice(words))


@mutation()
def dates_in_another_format(victim: Victim) -> None:
    day = re.compile(r"^(\d{4})-(\d\d)-(\d\d)|^(\d\d):(\d\d)$")
    form = victim.rng.choice([r"\3/\2/\1", r"\2-\3-\1", r"\1\2\3", r"\1-\2-\3T", r"\1-\3-\2"])
    header, *rows = victim.rows()
    victim.write_rows([header, *([day.sub(lambda m: m.expand(form), cell) for cell in row] for row in rows)])


@mutation()
def dates_out_of_range(victim: Victim) -> None:
    days = ["0000-00-00", "9999-12-31 23:59:59", "1066-10-14", "2101-02-30", "12101-01-01", "-0044-03-15"]
    _change_cells(victim, lambda cell: victim.rng.choice(days) if re.match(r"\d{4}-", cell) else cell, 0.5)


@mutation()
def signs_that_mean_something_elsewhere(victim: Victim) -> None:
    words = [
        "'; DROP TABLE patients; --",
        "=1+1",
        "${jndi:x}",
        "{{7*7}}",
        "%s%n",
        "\\N",
        "NULL",
        "\u202e1",
        "\U0001f600",
    ]
    _change_cells(victim, lambda _: victim.rng.choice(words))


@mutation()
def huge_cell(victim: Victim) -> None:
    header, *rows = victim.rows()
    size = victim.rng.choice([70_000, 200_000, 1_500_000, 9_000_000])
    column = victim.rng.randrange(len(header))
    victim.write_rows([header, ["9" * size if i == column else "" for i in range(len(header))], *rows])


@mutation()
def rows_twice(victim: Victim) -> None:
    header, *rows = victim.rows()
    victim.write_rows([header, *rows, *victim.rng.sample(rows, min(len(rows), 50))])


@mutation(ends="same rows", of="csv")
def rows_in_another_order(victim: Victim) -> None:
    header, *rows = victim.rows()
    victim.write_rows([header, *victim.rng.sample(rows, len(rows))])


@mutation()
def rows_lost(victim: Victim) -> None:
    header, *rows = victim.rows()
    victim.write_rows([header, *(row for row in rows if victim.rng.random() < 0.5)])


@mutation()
def header_again_amid_the_rows(victim: Victim) -> None:
    header, *rows = victim.rows()
    at = victim.rng.randint(0, len(rows))
    victim.write_rows([header, *rows[:at], header, *rows[at:]])


@mutation()
def latin_1(victim: Victim) -> None:
    _change_cells(victim, lambda cell: f"{cell}\udcb0")
