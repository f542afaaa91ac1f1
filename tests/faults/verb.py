"""What a process of `tests.faults.invocations` does: the command line, with a training that takes no time."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mlflow.utils import requirements_utils

from jobs import cli
from lakehouse.registry import registry
from lakehouse.tasks import Task
from tests.faults import troubles

MODEL = {"logistic": {"search": {"C": [0.001], "l1_ratio": [0.0]}}}

# Found once, here, for all forks: what the project declares, and all that is installed, through which MLflow looks.
registry()
requirements_utils._init_packages_to_modules_map()


def shortened(task: Task, _preset: str) -> Task:
    """The question with one model, tried once."""
    return task.model_copy(update={"models": MODEL, "folds": 2})


def run(arguments: Sequence[str], environment: dict[str, str], log: str, trouble: str | None) -> None:
    """`ehr <arguments>` in a process group of its own, its words in the file `log`; a function of `troubles` by its
    name makes the machine one that something is wrong with."""
    os.setsid()
    with Path(log).open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ.update(environment)
    setattr(Task, "with_preset", shortened)  # noqa: B010
    if trouble:
        getattr(troubles, trouble)()
    sys.argv = ["ehr", *arguments]
    cli.main()
