"""What is new, changed, gone or there twice in a raw folder, whatever came first; and when a lake is not emptied."""

from pathlib import Path
from typing import Any

import pytest

from bronze.challenge2012 import MEASUREMENTS
from lakehouse.errors import RawDataError
from lakehouse.feeds.delivery import Delivery
from lakehouse.feeds.rawfiles import Inventory


def write(raw: Path, **files: str) -> None:
    for name, text in files.items():
        (raw / "set-a").mkdir(parents=True, exist_ok=True)
        (raw / "set-a" / f"{name}.txt").write_text(text)


def delivered(raw: Path, known: dict[str, dict[str, Any]] | None = None) -> Delivery:
    inventory = Inventory(raw)
    return Delivery.of(
        MEASUREMENTS, inventory.find(MEASUREMENTS), known or {}, inventory.copies.get(MEASUREMENTS.name, {})
    )


def read(raw: Path) -> dict[str, dict[str, Any]]:
    """What is known after all files were read."""
    return {f.name: {"size": f.size, "modified_ns": f.mtime_ns, "sha256": f.sha256} for f in delivered(raw).files}


def names(files: Any) -> list[str]:
    return [Path(file if isinstance(file, str) else file.name).stem for file in files]


def test_new_changed_touched_and_gone_files_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, **{"1": "one", "2": "two", "3": "three", "4": "four"})
    known = read(tmp_path)
    write(tmp_path, **{"2": "other", "5": "five"})
    (tmp_path / "set-a/3.txt").touch()
    (tmp_path / "set-a/1.txt").unlink()
    found = delivered(tmp_path, known)
    told = [names(files) for files in (found.new, found.changed, found.touched, found.gone)]
    assert told == [["5"], ["2"], ["3"], ["1"]]
    assert found.note == ("1 changed, rows replaced: set-a/2.txt; 1 no longer there, rows taken out: set-a/1.txt")
    assert names(found.of_all_files().to_read) == ["5", "2", "3", "4"]


@pytest.mark.parametrize("copy", ["1", "9"])
def test_of_two_files_of_one_content_the_first_by_name_stands_whichever_came_first(tmp_path: Path, copy: str) -> None:
    write(tmp_path, **{"5": "five", "6": "six!"})
    known = read(tmp_path)
    write(tmp_path, **{copy: "five"})
    found = delivered(tmp_path, known)
    assert names(found.files) == sorted({"5", "6", copy} - {max("5", copy)})
    assert (names(found.new), names(found.gone)) == ((["1"], ["5"]) if copy == "1" else ([], []))
    assert found.copies == {f"set-a/{max('5', copy)}.txt": f"set-a/{min('5', copy)}.txt"}
    assert "1 there twice, set aside" in found.note
    found.check_not_emptied(known)


def test_the_same_tarball_in_two_folders_is_one(tmp_path: Path) -> None:
    for name in ("x/set-b.tar.gz", "y/set-b.tar.gz"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"tar")
    inventory = Inventory(tmp_path)
    assert [f.name for f in inventory.find(MEASUREMENTS)] == ["x/set-b.tar.gz"]
    assert inventory.copies == {MEASUREMENTS.name: {"y/set-b.tar.gz": "x/set-b.tar.gz"}}
    (tmp_path / "y/set-b.tar.gz").write_bytes(b"rat")
    with pytest.raises(RawDataError, match="are the same part of"):
        Inventory(tmp_path).find(MEASUREMENTS)


FOUR = {"1": "one", "2": "two!", "3": "three", "4": "four4!"}


@pytest.mark.parametrize(
    ("gone", "come", "stops"), [(1, 0, False), (2, 0, False), (3, 0, True), (4, 0, True), (4, 4, False)]
)
def test_a_table_is_not_emptied_because_a_disk_was_not_mounted(
    tmp_path: Path, gone: int, come: int, stops: bool
) -> None:
    write(tmp_path, **FOUR)
    known = read(tmp_path)
    for name in list(FOUR)[:gone]:
        (tmp_path / f"set-a/{name}.txt").unlink()
    write(tmp_path, **{f"1{i}": "x" * (20 + i) for i in range(come)})
    found = delivered(tmp_path, known)
    if stops:
        with pytest.raises(RawDataError, match=rf"^{gone} of 4 raw files .* no longer there .* --accept-removed\.$"):
            found.check_not_emptied(known)
    else:
        found.check_not_emptied(known)


def test_files_that_were_moved_are_not_missing(tmp_path: Path) -> None:
    write(tmp_path, **FOUR)
    known = read(tmp_path)
    (tmp_path / "set-a").rename(tmp_path / "set-b")
    found = delivered(tmp_path, known)
    assert (len(found.new), len(found.gone)) == (4, 4)
    found.check_not_emptied(known)
