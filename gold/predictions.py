"""What the scorer says of each stay: the contracts that every question's predictions keep."""

from lakehouse.table import Rule, Table

_RISK = Rule("risk_is_probability", "risk BETWEEN 0 AND 1", "fail")


def predictions_table(task: str, outcome: str) -> Table:
    """`gold.<task>_predictions`; `outcome` is what the risk is of, in words.

    A later scoring replaces a stay's row. The table has no function of its own: a model makes it, not other tables.
    """
    return Table(
        name=f"gold.{task}_predictions",
        description=f"Risk of {outcome} of each stay, with its reasons and the model that gave it.",
        ddl=f"""
            stay_id STRING NOT NULL COMMENT 'ICU stay',
            source STRING NOT NULL COMMENT 'source system',
            split STRING NOT NULL COMMENT 'train | test | external, as in the cohort',
            risk DOUBLE NOT NULL COMMENT 'probability of {outcome}, 0 to 1',
            flagged BOOLEAN NOT NULL COMMENT 'true: the risk is at least the threshold',
            threshold DOUBLE NOT NULL COMMENT 'risk from which a stay is flagged',
            top_features ARRAY<STRUCT<feature STRING, value DOUBLE, contribution DOUBLE>> COMMENT
                'features that moved this risk most, largest first; contribution in log odds',
            moments ARRAY<STRUCT<channel STRING, hour INT, value DOUBLE, contribution DOUBLE>> COMMENT
                'channels by hour that moved this risk most, largest first; a channel''s hours sum to its contribution',
            model_name STRING NOT NULL COMMENT 'registered model',
            model_version INT NOT NULL COMMENT 'its version in the registry',
            run_id STRING NOT NULL COMMENT 'tracking run that trained it',
            feature_version BIGINT NOT NULL COMMENT 'version of gold.{task}_features that was scored',
            input_digest STRING NOT NULL COMMENT 'digest of what the model read: an equal one is not scored again',
            scored_at TIMESTAMP NOT NULL COMMENT 'time of scoring, UTC'
        """,
        key=("stay_id",),
        mode="merge",
        task=task,
        rules=(_RISK,),
    )


def risk_history_table(task: str, outcome: str) -> Table:
    """`gold.<task>_risk_history`: every risk that was ever given, as the predictions table forgets a replaced one."""
    return Table(
        name=f"gold.{task}_risk_history",
        description=f"Every risk of {outcome} that was given: one row a stay and scoring.",
        ddl=f"""
            stay_id STRING NOT NULL COMMENT 'ICU stay',
            scored_at TIMESTAMP NOT NULL COMMENT 'time of scoring, UTC',
            source STRING NOT NULL COMMENT 'source system',
            split STRING NOT NULL COMMENT 'train | test | external, as in the cohort then',
            risk DOUBLE NOT NULL COMMENT 'probability of {outcome}, 0 to 1',
            flagged BOOLEAN NOT NULL COMMENT 'true: the risk was at least the threshold',
            threshold DOUBLE NOT NULL COMMENT 'risk from which a stay was flagged',
            model_name STRING NOT NULL COMMENT 'registered model',
            model_version INT NOT NULL COMMENT 'its version in the registry',
            input_digest STRING NOT NULL COMMENT 'digest of what the model read of this stay'
        """,
        key=("stay_id", "scored_at"),
        mode="append",
        rules=(_RISK,),
    )
