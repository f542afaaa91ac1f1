"""What the scorer says of each stay: one row a stay, merged in by the scoring job with the model that said it.

Key `stay_id`; a later run replaces a stay's row. Has no function of its own: it is made by a model, not from other
tables.
"""

from lakehouse.table import Rule, Table

TABLE = Table(
    name="gold.mortality_predictions",
    description="Risk of in-hospital death of each stay, with its reasons and the model that gave it.",
    ddl=""" stay_id STRING NOT NULL COMMENT 'ICU stay', source STRING NOT NULL COMMENT 'source system', split STRING
    NOT NULL COMMENT 'train | test | external, as in the cohort', risk DOUBLE NOT NULL COMMENT 'probability of
    in-hospital death, 0 to 1', flagged BOOLEAN NOT NULL COMMENT 'true: the risk is at least the threshold',
    threshold DOUBLE NOT NULL COMMENT 'risk from which a stay is flagged', top_features ARRAY<STRUCT<feature STRING,
    value DOUBLE, contribution DOUBLE>> COMMENT 'features that moved this risk most, largest first; contribution in
    log odds', model_name STRING NOT NULL COMMENT 'registered model', model_version INT NOT NULL COMMENT 'its
    version in the registry', run_id STRING NOT NULL COMMENT 'tracking run that trained it', feature_version BIGINT
    NOT NULL COMMENT 'version of gold.mortality_features that was scored', scored_at TIMESTAMP NOT NULL COMMENT
    'time of scoring, UTC' """,
    key=("stay_id",),
    mode="merge",
    task="mortality",
    rules=(Rule("risk_is_probability", "risk BETWEEN 0 AND 1", "fail"),),
)
