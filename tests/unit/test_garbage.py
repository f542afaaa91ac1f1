"""A process whose collector is spared: nothing is looked through at its end, but for a library that would complain."""

import subprocess
import sys

import pytest

PROCESS = """
import gc, sys, types
from lakehouse.garbage import spare_the_collector

class Old:
    pass

spare_the_collector()
assert gc.get_threshold() == (700, 10, 100)
for name in sys.argv[1:]:
    sys.modules[name] = types.ModuleType(name)
old = Old()
old.own = old
Old.__del__ = lambda _: print("collected", flush=True)
del old
"""


@pytest.mark.parametrize(("modules", "said"), [([], ""), (["triton"], "collected\n")])
def test_what_has_grown_old_is_not_looked_through_at_the_end(modules: list[str], said: str) -> None:
    ended = subprocess.run([sys.executable, "-c", PROCESS, *modules], capture_output=True, text=True, check=True)
    assert ended.stdout == said
