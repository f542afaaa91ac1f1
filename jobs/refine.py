"""Bronze into silver, silver into gold: the runner over one layer's tables."""

from collections.abc import Sequence

from jobs.context import Context, check_only
from jobs.progress import StageProgress
from lakehouse.dates import DateShift
from lakehouse.errors import ContractError
from lakehouse.records.ledger import Outcome
from lakehouse.registry import Node, registry
from lakehouse.rounds import ROWS_A_ROUND
from lakehouse.runner import Runner


def refine(context: Context, only: str | None = None) -> list[Outcome]:
    """Bronze into the common clinical model."""
    return build_layer(context, "silver", "refine: bronze to silver", only)


def build_layer(context: Context, layer: str, title: str, only: str | None = None) -> list[Outcome]:
    """Builds a layer's tables that are out of date; `only` narrows to one table or source."""
    there = registry().layer(layer)
    check_only(only, (name for node in there for name in _names(node)))
    nodes = [node for node in there if only is None or only in _names(node)]
    raw = {name for node in nodes for name in node.table_inputs if name.startswith("bronze.")}
    if raw and not any(context.lake.exists(name) for name in raw):
        raise ContractError(f"the lake {context.lake.root} has no raw table to build from: run ehr ingest first.")
    context.console.print(f"[bold]{title}")
    outcomes = run_nodes(context, nodes)
    if all(outcome.status in ("unchanged", "skipped") for outcome in outcomes):
        context.console.print(f"  every {layer} table is up to date: nothing was built")
    return outcomes


def run_nodes(context: Context, nodes: Sequence[Node]) -> list[Outcome]:
    """Builds those of the nodes that are out of date, with progress."""
    with StageProgress(context.console, [node.name for node in nodes], context.profile) as progress:
        runner = Runner(
            context.lake,
            registry(),
            context.ledger,
            context.identify,
            context.run_id,
            listener=progress,
            deadline=context.deadline,
            shift=DateShift(context.settings.pseudonym_key, context.settings.shift_dates_weeks),
            # Spark itself bounds what it holds.
            rows_a_round=ROWS_A_ROUND if context.settings.engine == "sail" else None,
        )
        return runner.run(nodes)


def _names(node: Node) -> list[str]:
    """What `--only` may call a node: itself, its table with or without the layer, its source, its question."""
    names = (node.name, node.table.name, node.table.name.split(".")[1], node.source, node.table.task)
    return [name for name in names if name]
