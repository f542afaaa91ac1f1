"""Stays laid on their grid in files that are mapped into memory: training reads a batch's pages, never all.

A grid is about three times as large as the events it was laid from (21 kB a stay of 48 hours and 37 channels). It is
written once, some hundred stays at a time, and shared by the networks of all folds and processes, whose encodings are
applied to a batch when it is read: pages that are in use stay in the system's cache, the rest on the disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.sequence.laid import Raw

WIDE: dict[str, type[np.generic]] = {  # a row a step, or a row a stay
    "told": np.float32,
    "gaps": np.float32,
    "statics": np.float64,
    "statistics": np.float64,
    "measured": np.float64,
}


class Spooled:
    """The same as `Raw`, on disk: a folder, and nothing else is handed to another process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        about = json.loads((folder / "about.json").read_text())
        self.digest, self.equal = str(about["digest"]), bool(about["equal"])
        self._shapes: dict[str, list[int]] = about["shapes"]

    @classmethod
    def write(cls, folder: Path, parts: Iterable[Raw]) -> Spooled:
        """Writes stays part by part, in their order, into an existing folder. There is at least one part."""
        digest = hashlib.blake2b(digest_size=16)
        lengths: list[NDArray[np.int64]] = []
        shapes: dict[str, list[int]] = {}
        gap, equal = None, True
        files = {name: (folder / name).open("wb") for name in WIDE}
        try:
            for raw in parts:
                for name, kind in WIDE.items():
                    array = np.ascontiguousarray(getattr(raw, name), dtype=kind)
                    digest.update(array.data)
                    files[name].write(array.data)
                    rows, *rest = array.shape
                    shapes[name] = [shapes.get(name, [0])[0] + rows, *rest]
                lengths.append(np.diff(raw.offsets))
                gap = raw.gaps[:1] if gap is None or not len(gap) else gap
                equal = equal and bool(np.all(raw.gaps == gap))
        finally:
            for file in files.values():
                file.close()
        every = np.concatenate(lengths)
        digest.update(every.data)
        np.save(folder / "offsets.npy", np.append(0, np.cumsum(every)))
        equal = equal and bool(np.ptp(every) == 0)
        (folder / "about.json").write_text(json.dumps({"digest": digest.hexdigest(), "equal": equal, "shapes": shapes}))
        return cls(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return Spooled, (self.folder,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        return np.load(self.folder / "offsets.npy")

    @cached_property
    def told(self) -> NDArray[np.float32]:
        return self._mapped("told")

    @cached_property
    def gaps(self) -> NDArray[np.float32]:
        return self._mapped("gaps")

    @cached_property
    def statics(self) -> NDArray[np.float64]:
        return self._mapped("statics")

    @cached_property
    def statistics(self) -> NDArray[np.float64]:
        return self._mapped("statistics")

    @cached_property
    def measured(self) -> NDArray[np.float64]:
        return self._mapped("measured")

    def _mapped(self, name: str) -> NDArray[Any]:
        shape = tuple(self._shapes[name])
        if 0 in shape:  # nothing to be mapped
            return np.zeros(shape, dtype=WIDE[name])
        return np.asarray(np.memmap(self.folder / name, dtype=WIDE[name], mode="r", shape=shape))
