"""The mortality question's predictions: the standing risk of each stay, and every risk that was given."""

from gold.predictions import predictions_table, risk_history_table

OUTCOME = "in-hospital death"
TABLES = (predictions_table("mortality", OUTCOME), risk_history_table("mortality", OUTCOME))
