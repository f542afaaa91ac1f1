"""Cross-validation folds that keep each patient whole, shared by all models so that their risks stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from models.base import Ints

Item = TypeVar("Item")
Result = TypeVar("Result")


def patient_folds(labels: ArrayLike, patients: ArrayLike, folds: int = 5, seed: int = 0) -> Ints:
    """The fold, 0 to folds - 1, of each row; shape (n,).

    All rows of a patient are in one fold; patients with and without an event are dealt separately, so that
    the folds' event rates agree to one patient. Depends on the set of patients and the seed, not on the
    order of rows. Raises ValueError when there are fewer patients with (or without) an event than folds.
    """
    labels = np.asarray(labels, dtype=np.float64)
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    event = np.bincount(patient, weights=labels, minlength=len(names)) > 0
    for what, count in (("with", event.sum()), ("without", (~event).sum())):
        if count < folds:
            raise ValueError(f"{folds} folds need as many patients {what} an event; there are {count}")
    shuffled = np.random.default_rng(seed).permutation(len(names))
    dealt = shuffled[np.argsort(event[shuffled], kind="stable")]
    fold = np.empty(len(names), dtype=np.int64)
    fold[dealt] = np.arange(len(names)) % folds
    return fold[patient]


def in_order(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Iterator[Result]:
    """`work` of each item, in order, `threads` at a time. Whoever stops listening stops the work.

    For folds: each is worked on by one thread, which for some thousand stays is faster than many threads on one fold,
    and gives the same figures whatever the number of threads.
    """
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(items), threads):
            yield from pool.map(work, items[start : start + threads])
