"""The registry's database in a file of its own: there whole, or not there at all."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine_with_retry

SQLITE = "sqlite:///"
NOISY = ("mlflow", "alembic")


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow's loggers say nothing but errors meanwhile."""
    levels = {name: logging.getLogger(name).level for name in NOISY}
    try:
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.ERROR)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def make(uri: str) -> None:
    """Makes the database of a `sqlite:///...` address unless it is there; others have somebody who keeps them.

    MLflow makes it in a hundred commits, and cannot go on with one whose making was killed on the way. So it is made
    beside its place and put there by one renaming.
    """
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    for left in path.parent.glob(f"{fresh.name}*"):  # with its journal
        left.unlink()
    engine = create_sqlalchemy_engine_with_retry(f"{SQLITE}{fresh}")
    try:
        with quiet():
            _initialize_tables(engine)
    finally:
        engine.dispose()
    fresh.rename(path)
