"""What can happen to a raw file on its way. Each mutation writes a victim anew, by chance: same seed, same bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.fuzz.victims import Victim

Ends = Literal["any", "refused", "same rows"]


@dataclass(frozen=True)
class Mutation:
    """`ends` is what must become of it: `refused` with a sentence; taken with the `same rows` as before; or `any`:
    refused, or taken with every row accounted for. `of` says which files it can be done to."""

    name: str
    do: Callable[[Victim], None]
    ends: Ends
    of: Literal["all", "csv", "tar", "gz"]


MUTATIONS: list[Mutation] = []


def mutation(ends: Ends = "any", of: Literal["all", "csv", "tar", "gz"] = "all") -> Callable[..., Callable[..., None]]:
    """Registers the function as a mutation that is called like it."""

    def register(do: Callable[[Victim], None]) -> Callable[[Victim], None]:
        MUTATIONS.append(Mutation(do.__name__.replace("_", " "), do, ends, of))
        return do

    return register


def flip(victim: Victim, content: bytes) -> bytes:
    """The content with 1 to 20 bits turned over."""
    flipped = bytearray(content)
    for _ in range(victim.rng.randint(1, 20)):
        flipped[victim.rng.randrange(len(flipped))] ^= 1 << victim.rng.randrange(8)
    return bytes(flipped)
