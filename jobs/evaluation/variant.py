"""A question's matrix under another split or window: gold's own functions over the lake's silver, nothing written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.context import Context
from jobs.training.matrix import Matrix, check_filled, gold_tables
from lakehouse.errors import ConfigError, ContractError
from lakehouse.mapping import to_arrow
from lakehouse.reference import dictionary_frame
from lakehouse.registry import CONF_PREFIX, Node, parameters, registry
from lakehouse.rules import apply_rules, is_good
from lakehouse.tasks import Task, load_task


def variant_matrix(context: Context, task: Task, sequences: bool, stays: Collection[str] | None = None) -> Matrix:
    """The matrix of the question as `task` asks it: the cohort is always made anew, since it holds the split; features
    and sequences are, where the window is not that of the lake. With `stays`, these alone.

    ContractError where the lake lacks a table that this needs.
    """
    lake = context.lake
    names = gold_tables(task.name, sequences)
    as_stored = load_task(task.name).window_hours == task.window_hours
    frames = {names[0]: _frame(context, names[0], task, {})}
    read: set[str] = set(_node(names[0]).table_inputs)
    tables = [to_arrow(_of(stays, frames[names[0]]), _node(names[0]).table.columns)]
    for name in names[1:]:
        if as_stored:
            check_filled(lake, name)
            tables.append(lake.read_arrow(name) if stays is None else _of(stays, lake.read(name)).toArrow())
            read.add(name)
        else:
            tables.append(to_arrow(_frame(context, name, task, frames, stays), _node(name).table.columns))
            read |= set(_node(name).table_inputs) - set(frames)
    cohort, features = (table.to_pandas().set_index("stay_id").sort_index() for table in tables[:2])
    if not cohort.index.equals(features.index):
        raise ContractError(f"{names[1]} does not hold the stays of {names[0]}: run ehr featurize.")
    return Matrix(
        features.drop(columns="source"),
        cohort,
        task.label,
        {name: lake.version(name) or 0 for name in sorted(read)},
        tables[2] if sequences else None,
        {name: lake.table_id(name) or "" for name in sorted(read)},
    )


def _node(name: str) -> Node:
    for node in registry().nodes:
        if node.name == name:
            return node
    raise ConfigError(f"no module of gold/ declares {name}.")


def _of(stays: Collection[str] | None, frame: DataFrame) -> DataFrame:
    return frame if stays is None else frame.where(F.col("stay_id").isin(*stays))


def _frame(
    context: Context,
    name: str,
    task: Task,
    made: Mapping[str, DataFrame],
    stays: Collection[str] | None = None,
) -> DataFrame:
    """The good rows that a table would hold if the lake were configured as `task`; `made` instead of stored inputs,
    of which the function is told `stays` alone, where they are given."""
    node, lake = _node(name), context.lake

    def frame(of: str) -> DataFrame:
        if of in made:
            return _of(stays, made[of])
        if of.startswith(CONF_PREFIX):
            return dictionary_frame(lake.spark, of)
        if not lake.exists(of):
            raise ContractError(f"{name} needs {of}, which the lake lacks: run the stage before it first.")
        if any(node.name == of and made.keys() & set(node.table_inputs) for node in registry().nodes):
            return _frame(context, of, task, made)  # what is fitted is fitted on this cohort
        return lake.read(of)

    given = {of.rsplit(".", 1)[-1]: frame(of) for of in node.inputs}
    asked = {**given, "task": task, "identify": context.identify}
    built = node.build(**{parameter: asked[parameter] for parameter in parameters(node.build)})
    ruled = apply_rules(built, replace(node.table, key_check=False))
    return ruled.where(is_good()).select(*node.table.column_names)
