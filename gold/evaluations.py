"""How well a question's models did: the contract that every question's evaluations keep."""

from lakehouse.table import Rule, Table


def evaluations_table(task: str, outcome: str) -> Table:
    """`gold.<task>_evaluations`; `outcome` is what the risks are of, in words.

    Rows are added and never changed. The table has no function of its own: a job judges models, not other tables.
    """
    return Table(
        name=f"gold.{task}_evaluations",
        description=f"Figures of models of {outcome}: one row an evaluation, part, model, subgroup and metric.",
        ddl="""
            evaluation_id STRING NOT NULL COMMENT 'the evaluation: its time and a random tail',
            protocol STRING NOT NULL COMMENT 'registered (models of the registry), or a protocol of the task file',
            part STRING NOT NULL COMMENT 'test | out_of_fold | external: stays that the models did not learn from',
            repeat INT NOT NULL COMMENT 'training of the protocol, from 0; another seed each',
            subgroup STRING NOT NULL COMMENT 'all, or attribute=value, several by commas',
            model STRING NOT NULL COMMENT 'model, or clinical score fitted as a risk',
            compared_with STRING NOT NULL COMMENT
                'model whose figure is subtracted, on the same stays and resamples; none: the figure itself',
            metric STRING NOT NULL COMMENT 'auroc, auprc, log_loss, ... of models/metrics.py',
            value DOUBLE COMMENT 'the figure; null: these stays do not define it',
            low DOUBLE COMMENT 'lower 95 % bootstrap limit, patients drawn whole',
            high DOUBLE COMMENT 'upper 95 % bootstrap limit',
            n BIGINT NOT NULL COMMENT 'stays',
            events BIGINT NOT NULL COMMENT 'stays with the outcome',
            threshold DOUBLE NOT NULL COMMENT 'risk from which the model flags a stay',
            model_version INT COMMENT 'version in the registry; null: not registered',
            run_id STRING COMMENT 'tracking run that holds the same figures',
            window_hours INT NOT NULL COMMENT 'h since the stay began that the models looked at',
            table_versions MAP<STRING, BIGINT> NOT NULL COMMENT 'version of each table that was read',
            code_version STRING NOT NULL COMMENT 'commit of the code that judged',
            evaluated_at TIMESTAMP NOT NULL COMMENT 'time of the evaluation, UTC'
        """,
        key=("evaluation_id", "part", "repeat", "subgroup", "model", "compared_with", "metric"),
        task=task,
        rules=(
            Rule("limits_in_order", "low <= high", "fail"),
            Rule("events_are_stays", "events BETWEEN 0 AND n", "fail"),
        ),
    )
