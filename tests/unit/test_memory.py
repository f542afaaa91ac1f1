"""The bound on a process's memory, read from what Linux tells of control groups; and the end of one that nears it."""

import threading
from pathlib import Path

import pytest

from lakehouse.engines.memory import Group, group, watched
from lakehouse.errors import ResourceError

MEBIBYTE = 1 << 20


def put(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_the_narrowest_bound_above_a_process_counts(tmp_path: Path) -> None:
    put(tmp_path / "job" / "step", memory__max="max", memory__stat="anon 1")
    put(tmp_path / "job", memory__max=500, memory__stat="file 7\nanon 300")
    put(tmp_path, memory__max=900, memory__stat="anon 800")
    found = group("0::/job/step\n", tmp_path)
    assert found == Group(500, tmp_path / "job" / "memory.stat", "anon")
    assert found.used() == 300


def test_the_older_groups_have_other_names(tmp_path: Path) -> None:
    put(tmp_path / "memory" / "job", memory__limit_in_bytes=500, memory__stat="rss 1\ntotal_rss 400")
    put(tmp_path / "memory", memory__limit_in_bytes=(1 << 63) - 4096)
    found = group("9:cpu:/\n4:memory:/job\n0::/\n", tmp_path)
    assert found == Group(500, tmp_path / "memory" / "job" / "memory.stat", "total_rss")
    assert found.used() == 400


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    put(tmp_path, memory__max=500, memory__stat="anon 1")
    found = group("0::/outside/the/container\n", tmp_path)
    assert found is not None and found.limit == 500


@pytest.mark.parametrize("membership", ["0::/\n", "4:memory:/\n", ""])
def test_without_a_bound_nothing_is_watched(membership: str, tmp_path: Path) -> None:
    put(tmp_path, memory__max="max")
    assert group(membership, tmp_path) is None
    before = threading.active_count()
    with watched(None):
        assert threading.active_count() == before


def test_the_process_ends_before_the_system_ends_it(tmp_path: Path) -> None:
    put(tmp_path, memory__stat=f"anon {100 * MEBIBYTE}")
    told = list[str]()
    ended = threading.Event()

    def end(error: ResourceError) -> None:
        told.append(str(error))
        ended.set()

    with watched(Group(200 * MEBIBYTE, tmp_path / "memory.stat", "anon"), end):
        assert not ended.wait(0.5)
        put(tmp_path, memory__stat=f"anon {195 * MEBIBYTE}")
        assert ended.wait(10)
    assert len(told) == 1
    assert told[0].startswith("memory is used up, 195 of the 200 MiB that this process may use: ")
