"""How common each diagnosis code is in the history of the training stays: one row a code.

Key `code_system, code`; from the cohort, `silver.admissions` and `silver.diagnoses`. What is fitted on many patients is
a table of its own, so that the features of one patient depend on that patient and on it alone. Must never contain: a
code that only stays outside the training split have.
"""

from pyspark.sql import DataFrame

from gold.mortality import history
from lakehouse.table import Table

TABLE = Table(
    name="gold.mortality_code_frequencies",
    description="Share of the training stays in whose earlier admissions a diagnosis code was assigned.",
    ddl="""
        code_system STRING NOT NULL COMMENT 'such as ICD-9-CM',
        code STRING NOT NULL COMMENT 'code without its point',
        frequency DOUBLE NOT NULL COMMENT 'share of the training stays with a known admission, above 0, at most 1'
    """,
    key=("code_system", "code"),
    inputs=("gold.mortality_cohort", "silver.admissions", "silver.diagnoses"),
    key_check=False,
)


def build(mortality_cohort: DataFrame, admissions: DataFrame, diagnoses: DataFrame) -> DataFrame:
    """No row where no training stay's earlier admissions are known."""
    known = history.known_stays(mortality_cohort, admissions)
    return history.code_frequencies(known, history.codes_of(history.earlier_admissions(known, admissions), diagnoses))
