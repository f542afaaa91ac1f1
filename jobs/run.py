"""The whole job: raw files to a queried prediction table."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from jobs.context import Context
from jobs.featurize import featurize
from jobs.ingest import ingest
from jobs.progress import summary
from jobs.refine import refine
from lakehouse.errors import ConfigError
from lakehouse.records.ledger import Outcome

STAGES = ("ingest", "refine", "featurize", "train", "score")


def run(
    context: Context, task: str, accept_removed: bool = False, until: str | None = None, profile: bool = False
) -> None:
    """Runs every stage up to `until`; what is up to date is left alone. Ends with a table of stages.

    `profile`: also where the time went. ConfigError where there is no stage `until`.
    """
    if until is not None and until not in STAGES:
        raise ConfigError(f"--until {until}: the stages are {', '.join(STAGES)}.")
    stages: dict[str, Callable[[], Sequence[Outcome]]] = {
        "ingest": lambda: ingest(context, accept_removed=accept_removed),
        "refine": lambda: refine(context),
        "featurize": lambda: featurize(context),
        "train": lambda: _train(context, task),
        "score": lambda: _score(context, task),
    }
    done = []
    for name in STAGES[: STAGES.index(until or STAGES[-1]) + 1]:
        clock = time.perf_counter()
        with context.profile.stage(name) if profile else nullcontext():
            outcomes = stages[name]()
        done.append((name, outcomes, time.perf_counter() - clock))
    if not any(outcome.status == "built" for _, outcomes, _ in done for outcome in outcomes):
        context.console.print("nothing to do: no file is new, every table and model is up to date")
    lake = context.settings.lake
    hint = (
        f"next: ehr tables --lake {lake} · ehr evaluate --lake {lake} · ehr reconcile --lake {lake}\n"
        f'      ehr sql --lake {lake} "select split, count(*), avg(risk) from gold.{task}_predictions group by split"'
    )
    summary(context.console, done, hint)
    if profile:
        context.profile.show(context.console)


def _train(context: Context, task: str) -> Sequence[Outcome]:
    from jobs.train import train  # noqa: PLC0415  (models take seconds to import, which tables alone need not pay)

    return train(context, task)


def _score(context: Context, task: str) -> Sequence[Outcome]:
    from jobs.score import score  # noqa: PLC0415

    return score(context, task)
