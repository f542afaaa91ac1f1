"""The whole job: raw files to a queried prediction table."""

import time
from collections.abc import Callable, Sequence

from jobs.context import Context
from jobs.featurize import featurize
from jobs.ingest import ingest
from jobs.progress import summary
from jobs.refine import refine
from jobs.score import score
from jobs.train import train
from lakehouse.ledger import Outcome


def run(context: Context, task: str) -> None:
    """Runs every stage; what is up to date is left alone. Ends with a table of stages."""
    stages: dict[str, Callable[[], Sequence[Outcome]]] = {
        "ingest": lambda: ingest(context),
        "refine": lambda: refine(context),
        "featurize": lambda: featurize(context),
        "train": lambda: train(context, task),
        "score": lambda: score(context, task),
    }
    done = []
    for name, stage in stages.items():
        clock = time.perf_counter()
        outcomes = stage()
        done.append((name, outcomes, time.perf_counter() - clock))
    if not any(outcome.status == "built" for _, outcomes, _ in done for outcome in outcomes):
        context.console.print("nothing to do: no file is new, every table and model is up to date")
    lake = context.settings.lake
    hint = (
        f"next: ehr tables --lake {lake} · ehr evaluate --lake {lake} · ehr reconcile --lake {lake}\n"
        f'      ehr sql --lake {lake} "select split, count(*), avg(risk) from gold.{task}_predictions group by split"'
    )
    summary(context.console, done, hint)
