"""Challenge raw folders of any size: records repeated under new RecordIDs, of real files or of generated ones."""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path, PurePosixPath

from bronze.synthetic import challenge2012
from bronze.synthetic.files import TarOfTexts

SETS = ("a", "b")
FIRST_ID = 200_000
GENERATED = 4_000
"""Records that are generated where there are no real ones; a larger folder repeats these."""
SEED = 7
FOLDER = "challenge-2012"
HEADER = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"


@dataclass(frozen=True)
class Original:
    """A record that is there: the text of its file and its line of the outcome file, without the RecordID."""

    record_id: int
    text: str
    outcome: str

    def under(self, record_id: int) -> str:
        """The same text under another RecordID."""
        return self.text.replace(f"RecordID,{self.record_id}\n", f"RecordID,{record_id}\n", 1)


def raw_folder(work: Path, records: int, real: Path | None) -> Path:
    """A raw folder of so many records, half of them in each set; made once, below `work`.

    `real` is a raw folder with the published sets a and b; None: generated files. An even number of at most 799,998.
    """
    folder = work / f"{'real' if real else 'generated'}-{records}"
    done = folder / ".done"
    if not done.exists():
        source = real or _generated(work)
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for place, name in enumerate(SETS):
            again = islice(cycle(list(_originals(source, name))), records // 2)
            write_set(folder / FOLDER, name, FIRST_ID + place * (records // 2), again)
        done.touch()
    return folder


def _generated(work: Path) -> Path:
    folder = work / "generated"
    done = folder / ".done"
    if not done.exists():
        challenge2012.write(folder, GENERATED, SEED, lambda _done: None)
        done.touch()
    return folder


def write_set(folder: Path, name: str, first_id: int, originals: Iterable[Original]) -> None:
    """A record set of these records, numbered from `first_id` on, with its outcome file."""
    outcomes = [HEADER]
    with TarOfTexts(folder / f"set-{name}.tar.gz", f"set-{name}") as archive:
        for record_id, original in enumerate(originals, first_id):
            archive.add(f"{record_id}.txt", original.under(record_id))
            outcomes.append(f"{record_id},{original.outcome}")
    (folder / f"Outcomes-{name}.txt").write_text("\n".join([*outcomes, ""]))


def _originals(raw: Path, name: str) -> Iterator[Original]:
    (tar,) = raw.rglob(f"set-{name}.tar.gz")
    lines = tar.with_name(f"Outcomes-{name}.txt").read_text().splitlines()[1:]
    outcomes = dict(line.split(",", 1) for line in lines if line)
    with tarfile.open(tar, "r|gz") as members:
        for member in members:
            content = members.extractfile(member) if member.isfile() else None
            if content:
                record = PurePosixPath(member.name).stem
                yield Original(int(record), content.read().decode(), outcomes[record])
