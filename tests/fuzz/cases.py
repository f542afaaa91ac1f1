"""One case of the fuzzer: a lake, a raw folder of which one file was mutated, a run, and what must hold after it."""

import contextlib
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from jobs.context import Context
from jobs.featurize import featurize
from jobs.ingest import ingest
from jobs.operations.check import check
from jobs.refine import refine
from lakehouse.errors import RawDataError
from lakehouse.feeds.rawfiles import Inventory
from lakehouse.io import Lake
from lakehouse.records.ledger import Outcome
from lakehouse.registry import registry
from lakehouse.settings import load_settings
from tests.conftest import ENGINE
from tests.fuzz import changed_tables, damaged_packing, damaged_text, harmful_tarballs  # noqa: F401 - they register
from tests.fuzz.mutation import MUTATIONS, Mutation
from tests.fuzz.victims import Victim, count_rows

Row = dict[str, Any]

LONGEST_SENTENCE = 1500
_PLACE = ("_source_file", "record_id", "_source_row")
_OF_READING = {"_source_row", "_ingested_at", "_batch_id"}


@dataclass
class Result:
    """What a case came to; `faults` are promises that were broken."""

    seed: str
    mutation: str
    file: str
    error: str = ""
    rows: int = 0
    quarantined: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """A case by its seed: which mutation is done to which file; whether into a lake that has the file as it was or
    into none; and whether silver and gold are built after it."""

    seed: str
    mutation: Mutation
    fresh: bool = False
    stages: bool = False

    def run(self, raw: Path, lake: Path, folder: Path) -> Result:
        """Mutates a copy of `raw` in `folder`, ingests it into a copy of `lake`, and looks at all that must hold."""
        rng = Random(self.seed)
        folder.mkdir(exist_ok=True)
        shutil.copytree(raw, folder / "raw", copy_function=os.link)
        if not self.fresh:
            shutil.copytree(lake, folder / "lake", copy_function=_link_or_copy)
        (folder / "outside").mkdir()
        (folder / "outside" / "canary.txt").write_text("as it was")
        (folder / "here").mkdir()
        victim = _victim(rng, folder / "raw", self.mutation.of)
        unharmed, before = State.of(lake, victim.table), State.of(folder / "lake", victim.table)
        self.mutation.do(victim)
        result = Result(self.seed, self.mutation.name, victim.name)
        around = dict(_around(folder))
        with contextlib.chdir(folder / "here"):
            outcome = self._ingest(folder, victim, result)
            after = State.of(folder / "lake", victim.table)
            if outcome is None or outcome.status == "unchanged":
                result.faults += _differences("the table", before.rows, after.rows)
            else:
                result.faults += self._accounted(victim, outcome, unharmed, after, result)
            result.faults += [
                f"{name} changed"
                for name in before.others | after.others
                if before.others.get(name) != after.others.get(name)
            ]
            result.faults += _history(Lake(folder / "lake"), victim.table, before)
            if self.stages and not result.error:
                refine(context_of(folder))
                featurize(context_of(folder))
            result.faults += _promises(folder, None if self.stages else victim.table)
        if dict(_around(folder)) != around:
            result.faults.append("a file outside the lake was touched")
        return result

    def _ingest(self, folder: Path, victim: Victim, result: Result) -> Outcome | None:
        """What became of the table; None where the file was refused, or there is neither file nor table."""
        try:
            outcomes = ingest(context_of(folder), victim.table)
        except RawDataError as error:
            result.error = str(error)
            stem = victim.path.name.split(".")[0]
            if stem not in result.error:
                result.faults.append(f"the error does not name {stem}")
            if "\n" in result.error or len(result.error) > LONGEST_SENTENCE:
                result.faults.append("the error is no sentence")
            if self.mutation.ends == "same rows":
                result.faults.append("refused, though nothing of it is wrong")
            return None
        if self.mutation.ends == "refused" and any(outcome.status == "built" for outcome in outcomes):
            result.faults.append("taken, though it must be refused")
        return next(iter(outcomes), None)

    def _accounted(
        self, victim: Victim, outcome: Outcome, unharmed: "State", after: "State", result: Result
    ) -> Iterator[str]:
        """Every row of the file, by a count of its own, is written or quarantined, and stored as often as that.

        Into a lake without the file, those of the table's other files are read with it.
        """
        result.rows, result.quarantined = outcome.rows_given, outcome.rows_quarantined
        given = count_rows(victim.path)
        if given is None:
            yield "taken, though the file is not whole"
        elif (
            given := given + len(self._read_with(victim, [*unharmed.table, *unharmed.quarantine]))
        ) != outcome.rows_given:
            yield f"{given} rows in the file, {outcome.rows_given} given"
        if outcome.rows_given != outcome.rows_out + outcome.rows_quarantined:
            yield f"{outcome.rows_given} given, {outcome.rows_out} written, {outcome.rows_quarantined} quarantined"
        of_file, refused = (self._read_from(victim, rows) for rows in (after.table, after.quarantine))
        if (len(of_file), len(refused)) != (outcome.rows_out, outcome.rows_quarantined):
            yield f"{len(of_file)} rows and {len(refused)} quarantined are stored of it, others were reported"
        places = {tuple(row.get(name) for name in _PLACE) for row in (*of_file, *refused)}
        if len(places) != len(of_file) + len(refused):
            yield "two rows have one place in the file"
        if any(not row["_rules"] for row in refused):
            yield "a row is quarantined without a reason"
        if any("parsed" in row["_rules"] and row["_raw"] is None for row in refused):
            yield "a row that did not parse lost its text"
        if self.mutation.ends == "same rows":
            yield from _differences("the table", unharmed.rows, after.rows)

    def _read_with(self, victim: Victim, rows: list[Row]) -> list[Row]:
        """Rows of the other files that are read in this case."""
        return [row for row in rows if self.fresh and row["_source_file"] != victim.name]

    def _read_from(self, victim: Victim, rows: list[Row]) -> list[Row]:
        """Rows of all files that are read in this case."""
        return [row for row in rows if self.fresh or row["_source_file"] == victim.name]


@dataclass(frozen=True)
class State:
    """A table's rows and its quarantine's, and the logs of all other tables but those of the lake's own record."""

    table: list[Row]
    quarantine: list[Row]
    version: int | None
    others: dict[str, list[str]]

    @classmethod
    def of(cls, root: Path, table: str) -> "State":
        lake = Lake(root)
        own = (table, f"{table}_quarantine")
        others = {
            name: sorted(entry.name for entry in (lake.location(name) / "_delta_log").iterdir())
            for name in lake.names()
            if name not in own and not name.startswith("ops.")
        }
        return cls(lake.records(own[0]), lake.records(own[1]), lake.version(table), others)

    @property
    def rows(self) -> Counter[str]:
        """Rows without where they stood in the file and when they were read."""
        return Counter(repr([(k, v) for k, v in row.items() if k not in _OF_READING]) for row in self.table)


def cases(seed: int, count: int, stages_every: int) -> Iterator[Case]:
    """So many cases: all mutations in turn, in an order by seed; one in five into no lake yet, one in `stages_every`
    goes on to gold."""
    order = Random(seed).sample(MUTATIONS, len(MUTATIONS))
    for i in range(count):
        stages = i % stages_every == stages_every - 1
        yield Case(f"{seed}-{i}", order[i % len(order)], fresh=i % 5 == 0 and not stages, stages=stages)


def _link_or_copy(source: str, target: str) -> None:
    """Links what a lake never changes in place, and copies the rest."""
    (os.link if source.endswith((".parquet", ".json")) else shutil.copy2)(source, target)


def context_of(folder: Path) -> Context:
    """A fresh invocation on the folders `raw` and `lake` in `folder`."""
    settings = load_settings(raw=folder / "raw", lake=folder / "lake", engine=ENGINE, cores=2)
    return Context.of(settings, Console(quiet=True))


def _victim(rng: Random, raw: Path, of: str) -> Victim:
    """A file that the mutation can be done to: each source as often as the others, and of its tables each."""
    tables = {table.name: table for table in registry().raw_tables()}
    found = Inventory(raw).recognise(tables.values())
    files = [(tables[name].raw, name, file) for name, of_table in found.items() for file in of_table]
    fit = [
        (given.source, file.name, name, given.absent_ok)
        for given, name, file in files
        if given
        and {
            "all": True,
            "csv": given.reader == "ehr_csv",
            "tar": given.reader != "ehr_csv",
            "gz": file.name.endswith(".gz"),
        }[of]
    ]
    source = rng.choice(sorted({source for source, *_ in fit}))
    _, file, name, absent_ok = rng.choice([one for one in fit if one[0] == source])
    return Victim(raw, file, name, absent_ok, rng)


def _around(folder: Path) -> Iterable[tuple[str, str]]:
    """Each file and folder beside the lake, with its content's digest."""
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(here, name) != folder / "lake"]
        for name in (*folders, *files):
            path = Path(here, name)
            yield str(path), hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"


def _differences(what: str, before: Counter[str], after: Counter[str]) -> list[str]:
    gone, new = before - after, after - before
    return [f"{what} lost {gone.total()} rows and won {new.total()}"] if gone or new else []


def _history(lake: Lake, table: str, before: State) -> list[str]:
    """The table as it was before is still there."""
    if before.version is None:
        return []
    rows = lake.read_arrow(table, version=before.version).num_rows
    return [] if rows == len(before.table) else [f"version {before.version} had {len(before.table)} rows, now {rows}"]


def _promises(folder: Path, only: str | None) -> list[str]:
    lake = Lake(folder / "lake")
    if not lake.exists("ops.runs"):
        return [f"{name} is there, and no record of a run" for name in lake.names()]
    found = check(context_of(folder), only if only in lake.names() else None).findings
    return [f"ehr check: {one.table}: {one.promise}: {one.text}" for one in found]
