"""Raw files into bronze tables."""

from jobs.context import Context, check_only
from jobs.progress import StageProgress
from lakehouse.feeds.rawfiles import Inventory
from lakehouse.ingestion import Ingestion
from lakehouse.records.forgotten import Forgotten
from lakehouse.records.ledger import Outcome
from lakehouse.registry import registry


def ingest(context: Context, only: str | None = None, accept_removed: bool = False) -> list[Outcome]:
    """Reads what is new or changed under the raw folder; `only` narrows to one table or source.

    RawDataError where most files of a table are gone, unless `accept_removed`: a disk may not be mounted.
    """
    tables = registry()
    inventory = Inventory(context.settings.raw)
    check_only(only, (name for t in tables.raw_tables() if t.raw for name in (t.name, t.raw.source)))
    context.console.print("[bold]ingest: raw files to bronze")
    with StageProgress(context.console, [t.name for t in tables.raw_tables()], context.profile) as progress:
        ingestion = Ingestion(
            context.lake,
            tables,
            context.ledger,
            context.run_id,
            context.settings.cores,
            forgotten=Forgotten.of(context.lake, context.settings.pseudonym_key),
            listener=progress,
            deadline=context.deadline,
            accept_removed=accept_removed,
        )
        outcomes = ingestion.run(inventory, only)
    if all(outcome.status == "unchanged" for outcome in outcomes):
        context.console.print("  no new or changed file: nothing was read")
    return outcomes
