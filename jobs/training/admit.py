"""What becomes of a training's models, wherever they were trained: judged on held-out rows, registered, and the best of
them put before the gate."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from jobs.context import Context, operator
from jobs.evaluation.figures import figures_table, held_out, held_out_figures
from jobs.training.fitting import Fitted
from jobs.training.matrix import Matrix
from lakehouse.errors import ModelError
from lakehouse.records.ledger import Outcome
from lakehouse.tasks import Task
from models.bootstrap import Interval, paired_differences
from models.features import FeatureMismatchError, Kind
from models.metrics import best, scores
from models.promotion import Decision, enough, judge, not_judged
from models.provenance import patient_digests
from models.record import Record
from models.registry import RegisteredModel, Registry

HELD_OUT, OUT_OF_FOLD = "test_", "oof_"
"""What figures of held-out and of training rows are called by in the registry."""


@dataclass(frozen=True)
class Training:
    """The models of one training, what it was, and the rows it learned from."""

    record: Record
    models: Mapping[str, Fitted]
    rows: Matrix

    def out_of_fold(self, name: str) -> dict[str, float]:
        """Figures of the training rows, each by weights that did not see it."""
        fitted = self.models[name]
        return scores(self.rows.outcomes, fitted.out_of_fold, fitted.scorer.threshold)

    def best(self, metric: str) -> str:
        """The model of the best out-of-fold figure: held-out rows only report and gate, they choose nothing."""
        return best({name: self.out_of_fold(name) for name in self.models}, metric)


def admit(
    context: Context, task: Task, registry: Registry, training: Training, test_rows: Matrix, fingerprint: str
) -> list[Outcome]:
    """Registers every model of the training and decides on its best; one outcome a model, recorded in the ledger.

    `test_rows` are the held-out rows as they are today; those of patients whom the models were trained on are left out.
    """
    started, seed = datetime.now(UTC), context.settings.seed
    test_rows = _unseen(context, task, training, test_rows)
    try:
        figures = {name: held_out_figures(one.scorer, test_rows, seed) for name, one in training.models.items()}
    except FeatureMismatchError as error:
        raise ModelError(f"training {training.record.training} does not fit today's features: {error}.") from None
    registered = {
        name: _register(context, task, registry, training, name, figures[name], test_rows) for name in training.models
    }
    chosen = training.best(task.champion_metric)
    decision = gate(context, task, registry, registered[chosen], figures[chosen], test_rows)
    registry.decide(registered[chosen], decision, operator(context.settings))
    outcomes = []
    # Last: a training that was killed before its decision is not one that is over.
    for name, one in training.models.items():
        outcome = Outcome(node_of(task, name), f"models.{task.name}", "built", version=registered[name].version)
        outcome.rows_in, outcome.rows_out, outcome.seconds = len(training.rows.label), 1, one.seconds
        context.ledger.record_run(
            context.run_id,
            outcome,
            started,
            code=training.record.code,
            fingerprint=fingerprint,
            input_versions=training.record.tables,
        )
        outcomes.append(outcome)
    shown = {f"{name} v{registered[name].version}": found for name, found in figures.items()}
    context.console.print(figures_table(shown, f"{held_out(test_rows, task)}; 95 % bootstrap intervals"))
    word = "is the champion" if decision.promoted else f"stays challenger, {decision.verdict}"
    context.console.print(f"  {chosen} version {registered[chosen].version} {word}:")
    for reason in decision.reasons:
        context.console.print(f"    {reason}")
    return outcomes


def node_of(task: Task, name: str) -> str:
    """A model as the ledger names it."""
    return f"models.{task.name}[{name}]"


def gate(
    context: Context,
    task: Task,
    registry: Registry,
    challenger: RegisteredModel,
    figures: Mapping[str, Interval],
    rows: Matrix,
) -> Decision:
    """Champion against challenger on the same held-out rows, of patients whom neither was trained on.

    `rows` are those that the challenger has not seen, `figures` its figures on them.
    """
    champion = registry.champion(challenger.name)
    if champion is None:
        return judge(rows.outcomes, figures, None, "the first champion")
    against, labels = f"champion version {champion.version}", rows.outcomes
    if rows.sequences is None and champion.scorer.model.schema.of(Kind.SERIES):
        rows = replace(rows, sequences=context.lake.read_arrow(f"gold.{task.name}_sequences"))
    try:
        champion.scorer.model.schema.check(rows.inputs(champion.scorer).iloc[:0])
    except FeatureMismatchError:
        return judge(labels, figures, None, f"{against} does not know today's features")
    try:
        theirs = registry.document(champion.run_id, "patients")
    except LookupError:
        return not_judged(f"{against} does not say whom it was trained on: ehr promote decides")
    seen = rows.of_patients(theirs)
    if seen.any():
        rows = rows.rows(~seen)
        against += f" without {int(seen.sum()):,} of {len(seen):,} held-out stays, whose patients it was trained on,"
        if not enough(rows.outcomes):
            return not_judged(
                f"{against} cannot be judged by the {len(rows.label):,} that are left: ehr promote decides"
            )
    differences = paired_differences(
        rows.outcomes,
        challenger.scorer.model.risks(rows.inputs(challenger.scorer)),
        champion.scorer.model.risks(rows.inputs(champion.scorer)),
        challenger.scorer.threshold,
        champion.scorer.threshold,
        patients=rows.patient,
        seed=context.settings.seed,
    )
    return judge(labels, figures, differences, f"against {against} on {len(rows.label):,} held-out stays")


def _unseen(context: Context, task: Task, training: Training, test_rows: Matrix) -> Matrix:
    """The held-out rows of patients whom the models were not trained on: of an older split, some may have been."""
    seen = test_rows.patient.isin(set(training.rows.patient)).to_numpy()
    rows = test_rows.rows(~seen)
    if rows.label.nunique() < 2:
        raise ModelError(
            f"training {training.record.training} saw {int(seen.sum()):,} of today's {len(seen):,} held-out stays of "
            f"{task.name}: its models cannot be judged by the others."
        )
    if seen.any():
        context.console.print(f"  judged without {int(seen.sum()):,} held-out stays, whose patients were trained on")
    return rows


def _register(
    context: Context,
    task: Task,
    registry: Registry,
    training: Training,
    name: str,
    figures: dict[str, Interval],
    test_rows: Matrix,
) -> RegisteredModel:
    fitted, record = training.models[name], training.record
    return registry.log(
        fitted.scorer,
        context.settings.model_name(task.name),
        run_name=f"{name} {record.training}",
        parameters={
            **fitted.parameters,
            "model": name,
            "window_hours": task.window_hours,
            "split": task.split.by,
            **{f"setting.{key}": record.settings[key] for key in ("seed", "preset", "train_seconds", "engine")},
        },
        figures={
            **{f"{HELD_OUT}{figure}": interval for figure, interval in figures.items()},
            **{f"{OUT_OF_FOLD}{figure}": value for figure, value in training.out_of_fold(name).items()},
        },
        tables=record.tables,
        code_version=record.commit,
        tags={"model": name, "run_id": context.run_id, "training": record.training},
        documents={
            "record": record.to_dict(),
            "environment": record.environment,
            "trials": fitted.trials,
            "patients": patient_digests(training.rows.patient),
            "held_out": {"tables": test_rows.versions, "seed": context.settings.seed},
        },
    )
