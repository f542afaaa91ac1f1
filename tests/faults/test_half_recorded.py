"""Killed between what was written and its record: the next run finds out."""

from pathlib import Path

import pytest

from jobs.ingest import ingest
from lakehouse.records.ledger import Ledger
from tests.faults.invocations import Invocations
from tests.faults.lives import Life

pytestmark = pytest.mark.usefixtures("spark")
TABLE = "bronze.challenge2012_outcomes"


class Killed(BaseException):
    """Caught by nobody, as a kill is."""


def test_rows_that_no_build_accounts_for_are_read_again(
    first: Path, ehr: Invocations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(tmp_path / "lake", ehr)

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "record_run", kill)
        with pytest.raises(Killed):
            ingest(life.context(first), TABLE)
    assert len(life.contents.files()) == 2, "the files are known, the build is not"
    for status in ("built", "unchanged"):
        (outcome,) = ingest(life.context(first), TABLE)
        assert (outcome.status, outcome.rows_out) == (status, 40)
    assert life.lake.row_count(TABLE) == 40
    assert not [note for note in life.checked().notes if "not counted" in note]
