"""Silver into gold: cohorts, features and sequences of each clinical question."""

from jobs.context import Context
from jobs.refine import build_layer
from lakehouse.records.ledger import Outcome


def featurize(context: Context, only: str | None = None) -> list[Outcome]:
    """Builds the gold tables that are out of date."""
    return build_layer(context, "gold", "featurize: silver to gold", only)
