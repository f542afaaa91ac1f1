"""Folders that are whole or not there, and refuse a file that is not the one that was written."""

import json
from pathlib import Path

import pytest

from jobs.training.sealed import MANIFEST, opened, sealed
from lakehouse.errors import ConfigError, ContractError


def write(folder: Path) -> None:
    with sealed(folder, {"told": 1}) as filling:
        (filling / "inner").mkdir()
        (filling / "inner" / "a.txt").write_text("one")
        (filling / "b.txt").write_text("two")


def test_what_was_sealed_opens_with_the_digest_of_each_file(tmp_path: Path) -> None:
    write(tmp_path / "out")
    manifest = opened(tmp_path / "out")
    # printf one | sha256sum
    assert manifest["files"]["inner/a.txt"] == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert set(manifest["files"]) == {"inner/a.txt", "b.txt"} and manifest["told"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_error_while_filling_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        with sealed(folder, {}) as filling:
            (filling / "a.txt").write_text("one")
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        fail(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    with pytest.raises(ConfigError, match="empty is there already and not empty"):
        write(tmp_path / "empty")
    assert opened(tmp_path / "empty")["told"] == 1


def test_what_changed_or_went_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write(folder)
    (folder / "more.txt").write_text("beside it")  # what came later is nobody's promise
    opened(folder)
    (folder / "inner" / "a.txt").write_text("three")
    with pytest.raises(ContractError, match=r"inner/a.txt is not the file that was written"):
        opened(folder)
    (folder / "inner" / "a.txt").unlink()
    with pytest.raises(ContractError, match=r"inner/a.txt is missing"):
        opened(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 3}', '{"told": 1}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ContractError, match=r"has no manifest\.json: it was not written whole"):
        opened(tmp_path)
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ContractError, match="is no manifest"):
        opened(tmp_path)


def test_a_manifest_does_not_reach_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("one")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST).write_text(json.dumps({"files": {"../secret": "0"}}))
    with pytest.raises(ContractError, match="is missing"):
        opened(tmp_path / "out")
