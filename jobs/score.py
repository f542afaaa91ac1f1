"""Batch scoring: the champion's risks and reasons for new and changed stays, merged into the predictions table."""

import time
from datetime import UTC, datetime

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.context import Context
from jobs.refine import run_nodes
from jobs.scoring import KNOWN, Scoring
from jobs.training.matrix import check_filled, gold_tables
from jobs.training.registry import champion_of
from lakehouse.code import code_version, digest_of
from lakehouse.commit import Scope, commit
from lakehouse.ddl import spark_ddl
from lakehouse.errors import ConfigError, ContractError, ModelError
from lakehouse.mapping import map_in_arrow, spark_schema
from lakehouse.records.ledger import Outcome
from lakehouse.registry import registry
from lakehouse.table import Table
from lakehouse.tasks import load_task
from models.features import FeatureMismatchError, Kind
from models.registry import RegisteredModel
from models.sequence.events import COLUMNS

OF_COHORT = ("stay_id", "source", "split")


def score(context: Context, task_name: str) -> list[Outcome]:
    """Scores stays that are new, whose inputs changed, or that another version scored; then builds what follows."""
    task = load_task(task_name)
    table = registry().tables.get(f"gold.{task.name}_predictions")
    if table is None:
        raise ConfigError(f"task {task.name} has no table gold.{task.name}_predictions: see gold/predictions.py.")
    context.console.print(f"[bold]score: {table.name}")
    started, clock = datetime.now(UTC), time.perf_counter()
    champion = champion_of(context, task)
    inputs = _inputs(context, task.name, champion)
    fingerprint = _fingerprint(inputs, champion)
    last = context.ledger.last_built(table.name)
    outcome = Outcome(table.name, table.name, "unchanged")
    stands = last and (last["fingerprint"], last["version"]) == (fingerprint, context.lake.version(table.name))
    if stands and _keeps_contract(context, table):
        scored = 0
    else:
        watched = context.deadline(table.name)
        with watched, context.console.status(f"scoring with version {champion.version}"):
            scored = _score(context, table, champion, inputs, started)
    outcome.version = context.lake.version(table.name)
    if scored == 0:
        outcome.rows_out = context.lake.row_count(table.name)
        context.console.print("  every stay was scored by this champion on these inputs: nothing was scored")
        return [outcome, *_follow_up(context, table)]
    outcome.status, outcome.seconds = "built", time.perf_counter() - clock
    outcome.rows_in = outcome.rows_given = outcome.rows_out = scored
    context.ledger.record_run(
        context.run_id,
        outcome,
        started,
        code=code_version("jobs.scoring"),
        fingerprint=fingerprint,
        input_versions={**inputs, f"models.{task.name}": champion.version},
    )
    context.console.print(
        f"  [green]✓[/] {table.name:<42} {outcome.rows_out:>11,} rows {outcome.seconds:6.1f} s  "
        f"champion version {champion.version}"
    )
    return [outcome, *_follow_up(context, table)]


def _inputs(context: Context, task: str, champion: RegisteredModel) -> dict[str, int]:
    """The gold tables that the champion reads, cohort first, and the version of each; ContractError where one is
    empty."""
    names = gold_tables(task, sequences=bool(champion.scorer.model.schema.of(Kind.SERIES)))
    for name in names:
        check_filled(context.lake, name)
    return {name: context.lake.data_version(name) or 0 for name in names}


def _check_stays(context: Context, names: list[str]) -> None:
    """ContractError where the stays of two tables differ."""
    stays = [pd.Index(context.lake.read_arrow(name, ["stay_id"])["stay_id"].to_pandas()) for name in names]
    for name, own in zip(names[1:], stays[1:], strict=True):
        if len(apart := own.symmetric_difference(stays[0])):
            raise ContractError(f"{name} and {names[0]} differ by {len(apart)} stays: run ehr featurize.")


def _fingerprint(inputs: dict[str, int], champion: RegisteredModel) -> str:
    """An equal one means that all was scored: versions of what is read, and the model that reads."""
    return digest_of([inputs, champion.name, champion.version, champion.run_id])


def _score(context: Context, table: Table, champion: RegisteredModel, inputs: dict[str, int], started: datetime) -> int:
    """Streams the joined inputs through the model; how many stays were due, and are written now."""
    _check_stays(context, list(inputs))
    lake, (_, features, *sequences) = context.lake, inputs
    cohort, *frames = (lake.read(name) for name in inputs)
    names = [name for name in frames[0].columns if name not in OF_COHORT]
    columns = (names, COLUMNS) if sequences else (names,)
    _check(champion, [name for of_table in columns for name in of_table])
    joined, given = cohort.select(*OF_COHORT), list(OF_COHORT)
    sides = [(frame, own, "inner") for frame, own in zip(frames, columns, strict=True)]
    for place, (side, own, how) in enumerate([(_known(context, table, champion), (KNOWN,), "left"), *sides]):
        # By keys of two names: to merge two columns into one, the embedded engine names all others anew.
        key = f"_stay_{place}"
        joined = joined.join(side.select(F.col("stay_id").alias(key), *own), F.col("stay_id") == F.col(key), how)
        given += [key, *own]
    scoring = Scoring.of(champion, names, bool(sequences), inputs[features], started)
    label = f"{context.run_id}/{table.name}-scored"
    try:
        staged = lake.stage(
            map_in_arrow(joined, given, scoring, spark_schema(table.columns)), label, spark_ddl(table.columns)
        )
        scored = staged.count()
        if scored:
            _write(context, table, staged)
    finally:
        lake.unstage(label)
    return int(scored)


def _check(champion: RegisteredModel, names: list[str]) -> None:
    """ModelError where the champion was trained on other features than the tables have."""
    try:
        champion.scorer.model.schema.check(pd.DataFrame({name: pd.Series(dtype="float64") for name in names}))
    except FeatureMismatchError as error:
        raise ModelError(
            f"champion {champion.name} version {champion.version} refuses the features: {error}. Run ehr train."
        ) from None


def _keeps_contract(context: Context, table: Table) -> bool:
    """False where the stored predictions have other columns than the contract of today: a merge would drop the new ones
    without a word."""
    version = context.lake.version(table.name)
    stored = context.lake.columns(table.name, version) if version is not None else ()
    return {column.name for column in stored} == set(table.column_names)


def _known(context: Context, table: Table, champion: RegisteredModel) -> DataFrame:
    """Stays that this model version has scored, each with the digest of what it read; none before the first."""
    if not _keeps_contract(context, table):
        return context.lake.spark.createDataFrame([], f"stay_id STRING, {KNOWN} STRING")
    same = (F.col("model_name") == champion.name) & (F.col("model_version") == champion.version)
    return context.lake.read(table.name).where(same).select("stay_id", F.col("input_digest").alias(KNOWN))


def _write(context: Context, table: Table, predictions: DataFrame) -> None:
    """History first: a risk that stands in the predictions is in the history too, whenever the job was killed."""
    history = registry().tables.get(table.name.replace("_predictions", "_risk_history"))
    if history is not None:
        context.lake.create(history.name, history.columns)
        given = _given_already(context, table, history)
        context.lake.append(
            history.name, predictions.join(given, on=given.columns, how="left_anti").select(*history.column_names)
        )
    if context.lake.exists(table.name) and not _keeps_contract(context, table):
        context.console.print(f"  {table.name} had other columns: it is made anew, and every stay is scored")
        context.lake.withdraw(table.name, context.run_id)
    commit(
        context.lake,
        table,
        predictions,
        node=table.name,
        run_id=context.run_id,
        scope=Scope(),
        default_from="scorer",
    )


def _given_already(context: Context, table: Table, history: Table) -> DataFrame:
    """Risks in the history that are newer than all that stand in the predictions: a job was killed between the two."""
    given = context.lake.read(history.name)
    if context.lake.exists(table.name):
        latest = context.lake.read(table.name).agg(F.max("scored_at").alias("_latest"))
        given = given.crossJoin(latest).where(F.col("_latest").isNull() | (F.col("scored_at") > F.col("_latest")))
    return given.select("stay_id", "model_name", "model_version", "input_digest")


def _follow_up(context: Context, table: Table) -> list[Outcome]:
    """Builds the tables that are made from what was scored, such as risks beside outcomes."""
    made_here = {table.name, table.name.replace("_predictions", "_risk_history")}
    nodes = [node for node in registry().after_scoring() if made_here & set(node.table_inputs)]
    return run_nodes(context, nodes) if nodes else []
