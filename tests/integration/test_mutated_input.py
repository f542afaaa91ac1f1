"""Mutated raw files: each ends in one clear sentence, or with every row accounted for; the lake is whole after it.

Thirty cases of the fuzzer, one seed. `make soak` has 500, of a seed of one's own.
"""

from pathlib import Path
from typing import Any

import pytest

from lakehouse.ingestion import Ingestion
from tests.fuzz.cases import Case, cases
from tests.fuzz.mutation import MUTATIONS

SEED, CASES, STAGES_EVERY = 21, 30, 20


@pytest.mark.parametrize("case", list(cases(SEED, CASES, STAGES_EVERY)), ids=lambda case: case.mutation.name)
def test_a_mutated_file_is_refused_in_a_sentence_or_every_row_is_accounted_for(
    case: Case, generated_raw: Path, refined_lake: Path, tmp_path: Path
) -> None:
    assert case.run(generated_raw, refined_lake, tmp_path).faults == []


def test_a_reader_that_loses_a_row_is_found_out(
    generated_raw: Path, refined_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Ingestion._read

    def all_but_the_first(self: Ingestion, *arguments: Any) -> Any:
        (tmp_path / "outside" / "canary.txt").write_text("touched")
        return read(self, *arguments).where("_source_row > 1")

    monkeypatch.setattr(Ingestion, "_read", all_but_the_first)
    (harmless,) = (mutation for mutation in MUTATIONS if mutation.name == "byte order mark")
    count, rows, outside = Case("7-0", harmless).run(generated_raw, refined_lake, tmp_path).faults
    assert count.endswith(" given") and rows.startswith("the table lost") and outside.startswith("a file outside")


def test_a_seed_says_all_of_a_case(generated_raw: Path, refined_lake: Path, tmp_path: Path) -> None:
    (case,) = cases(SEED, 1, STAGES_EVERY)
    first, again = (case.run(generated_raw, refined_lake, tmp_path / name) for name in ("one", "two"))
    assert first == again


def test_cases_take_all_mutations_in_turn() -> None:
    names = [case.mutation.name for case in cases(SEED, len(MUTATIONS), STAGES_EVERY)]
    assert sorted(names) == sorted(mutation.name for mutation in MUTATIONS)
    assert len(names) >= 50
