"""The mortality question's evaluations: every figure that was ever computed of its models, with its interval."""

from gold.evaluations import evaluations_table
from gold.mortality.predictions import OUTCOME

TABLE = evaluations_table("mortality", OUTCOME)
