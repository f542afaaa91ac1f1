"""What a stored table is: which one, and at which version."""

from typing import NamedTuple


class State(NamedTuple):
    """The identity of a table stays through all its versions; another one is a table that was made anew."""

    id: str
    version: int
