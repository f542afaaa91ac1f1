"""Bronze into silver, silver into gold: the runner over one layer's tables."""

from jobs.context import Context
from jobs.progress import StageProgress
from lakehouse.errors import ConfigError
from lakehouse.ledger import Outcome
from lakehouse.registry import Node, registry
from lakehouse.runner import Runner


def refine(context: Context, only: str | None = None) -> list[Outcome]:
    """Bronze into the common clinical model."""
    return build_layer(context, "silver", "refine: bronze to silver", only)


def build_layer(context: Context, layer: str, title: str, only: str | None = None) -> list[Outcome]:
    """Builds a layer's tables that are out of date; `only` narrows to one table or source."""
    nodes = [node for node in registry().layer(layer) if only is None or _is_meant(node, only)]
    if not nodes:
        raise ConfigError(f"--only {only}: layer {layer} has no table or source of that name.")
    with StageProgress(context.console, title, [node.name for node in nodes]) as progress:
        runner = Runner(context.lake, registry(), context.ledger, context.identify, context.run_id, listener=progress)
        outcomes = runner.run(nodes)
    if all(outcome.status in ("unchanged", "skipped") for outcome in outcomes):
        context.console.print(f"  every {layer} table is up to date: nothing was built")
    return outcomes


def _is_meant(node: Node, only: str) -> bool:
    source = node.mapping.source if node.mapping else None
    return only in (node.name, node.table.name, node.table.name.split(".")[1], source)
