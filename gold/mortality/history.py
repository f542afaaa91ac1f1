"""Comorbidities and diagnosis codes as features, from whichever admissions' codes are handed in.

For prediction those of admissions that ended before this one began: a stay's own codes are assigned after
discharge, so they tell of the outcome. Charlson: Charlson et al., J Chronic Dis 1987;40:373-383; Elixhauser:
Elixhauser et al., Med Care 1998;36:8-27 with the weights of van Walraven et al., Med Care 2009;47:626-633; code
lists: Quan et al., Med Care 2005;43:1130-1139.
"""

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gold.mortality.feature import Feature
from lakehouse.reference import read_dictionary

HISTORY = "history"
RETROSPECTIVE = "retrospective"

GRAVER_FORMS = (
    ("charlson", "diabetes_complicated", "diabetes_uncomplicated"),
    ("charlson", "moderate_severe_liver_disease", "mild_liver_disease"),
    ("charlson", "metastatic_cancer", "cancer"),
    ("elixhauser", "hypertension_complicated", "hypertension_uncomplicated"),
    ("elixhauser", "diabetes_complicated", "diabetes_uncomplicated"),
    ("elixhauser", "metastatic_cancer", "solid_tumor"),
)
"""(index, graver form, milder form): a score counts the graver alone where a patient has both."""


def conditions() -> list[tuple[str, str]]:
    """(index, condition) of `conf/comorbidities.csv`, in file order."""
    return list(dict.fromkeys((str(r["index"]), str(r["condition"])) for r in read_dictionary("comorbidities")))


def indices() -> list[str]:
    return list(dict.fromkeys(index for index, _ in conditions()))


def code_features(prefix: str, whose: str) -> tuple[Feature, ...]:
    """The columns of `coded`; `whose` closes their comments, such as `earlier admissions`."""
    return (
        Feature(f"{prefix}_codes_count", f"Distinct diagnosis codes, {whose}"),
        Feature(
            f"{prefix}_code_frequency_mean", f"Mean share of training stays with a code, over the codes of {whose}"
        ),
        Feature(f"{prefix}_code_frequency_min", f"Share of training stays with the rarest code of {whose}"),
        Feature(f"{prefix}_code_frequency_max", f"Share of training stays with the commonest code of {whose}"),
        Feature(f"{prefix}_codes_unseen_share", f"Share of codes that no training stay has, {whose}"),
        *(Feature(f"{prefix}_{index}_score", f"{index.title()} weights summed, {whose}") for index in indices()),
        *(
            Feature(f"{prefix}_{index}_{condition}", f"1: {condition.replace('_', ' ')} ({index.title()}), {whose}")
            for index, condition in conditions()
        ),
    )


FEATURES = (
    Feature(
        "previous_admissions", "Hospital admissions of the patient that ended before this one began; null: unknown"
    ),
    Feature("days_since_discharge", "Time from the end of the last earlier admission to the start of this one [days]"),
    *code_features(HISTORY, "earlier admissions"),
)


def history(
    mortality_cohort: DataFrame,
    admissions: DataFrame,
    diagnoses: DataFrame,
    comorbidities: DataFrame,
    frequencies: DataFrame,
) -> DataFrame:
    """One row a stay whose admission's time is known, with `FEATURES`; the others have no known history.

    `frequencies` are those of `gold.mortality_code_frequencies`."""
    known = known_stays(mortality_cohort, admissions)
    earlier = earlier_admissions(known, admissions)
    before = earlier.groupBy("stay_id").agg(
        F.count("*").cast("double").alias("previous_admissions"), F.min("days").alias("days_since_discharge")
    )
    codes = codes_of(earlier, diagnoses)
    return (
        coded(HISTORY, known, codes, comorbidities, frequencies)
        .join(before, on="stay_id", how="left")
        .withColumn("previous_admissions", F.coalesce("previous_admissions", F.lit(0.0)))
        .select("stay_id", *(f.name for f in FEATURES))
    )


def known_stays(mortality_cohort: DataFrame, admissions: DataFrame) -> DataFrame:
    """Stays of the cohort with the time at which their admission began."""
    began = admissions.where(F.col("admitted_at").isNotNull()).select("admission_id", "admitted_at")
    return mortality_cohort.select("stay_id", "patient_id", "admission_id", "split").join(
        began, on="admission_id", how="inner"
    )


def earlier_admissions(known: DataFrame, admissions: DataFrame) -> DataFrame:
    """One row a stay and earlier admission: stay_id, admission_id, days from its end to the start of the stay's own."""
    past = admissions.select("patient_id", F.col("admission_id").alias("past_id"), "discharged_at")
    days = (F.unix_timestamp("admitted_at") - F.unix_timestamp("discharged_at")) / 86400.0
    return (
        known.join(past, on="patient_id", how="inner")
        .where((F.col("discharged_at") < F.col("admitted_at")) & (F.col("past_id") != F.col("admission_id")))
        .select("stay_id", F.col("past_id").alias("admission_id"), days.alias("days"))
    )


def codes_of(stay_admissions: DataFrame, diagnoses: DataFrame) -> DataFrame:
    """Distinct (stay_id, code_system, code) of the admissions that each stay is given."""
    return (
        stay_admissions.select("stay_id", "admission_id")
        .join(diagnoses.select("admission_id", "code_system", "code"), on="admission_id", how="inner")
        .where(F.col("code").isNotNull())
        .select("stay_id", "code_system", "code")
        .distinct()
    )


def coded(
    prefix: str, known: DataFrame, codes: DataFrame, comorbidities: DataFrame, frequencies: DataFrame
) -> DataFrame:
    """One row a stay of `known` with `code_features(prefix)`: counts and flags are 0 where it has no such code."""
    seen = (
        codes.join(frequencies, on=["code_system", "code"], how="left")
        .withColumn("frequency", F.coalesce("frequency", F.lit(0.0)))
        .groupBy("stay_id")
        .agg(
            F.count("*").cast("double").alias(f"{prefix}_codes_count"),
            F.avg("frequency").alias(f"{prefix}_code_frequency_mean"),
            F.min("frequency").alias(f"{prefix}_code_frequency_min"),
            F.max("frequency").alias(f"{prefix}_code_frequency_max"),
            F.avg(F.when(F.col("frequency") == 0, 1.0).otherwise(0.0)).alias(f"{prefix}_codes_unseen_share"),
        )
    )
    weights = (
        stay_conditions(codes, comorbidities)
        .groupBy("stay_id")
        .agg(*(F.max(F.when(_is(*key), F.col("weight"))).alias("_".join(key)) for key in conditions()))
    )
    flags = weights.select(
        "stay_id",
        *(_score(index).alias(f"{prefix}_{index}_score") for index in indices()),
        *(F.col("_".join(k)).isNotNull().cast("double").alias("_".join((prefix, *k))) for k in conditions()),
    )
    zero = [f"{prefix}_codes_count", *flags.columns[1:]]
    return (
        known.select("stay_id")
        .join(seen, on="stay_id", how="left")
        .join(flags, on="stay_id", how="left")
        .withColumns({name: F.coalesce(name, F.lit(0.0)) for name in zero})
    )


def code_frequencies(known: DataFrame, codes: DataFrame) -> DataFrame:
    """Share of the training stays that have each code, fitted on them alone: code_system, code, frequency in (0, 1].

    Without any such stay there is no row, but an engine may divide before it knows.
    """
    training = known.where(F.col("split") == "train").select("stay_id")
    return (
        codes.join(training, on="stay_id", how="left_semi")
        .groupBy("code_system", "code")
        .agg(F.count("*").alias("having"))
        .crossJoin(training.agg(F.count("*").alias("stays")))
        .select("code_system", "code", F.try_divide("having", "stays").alias("frequency"))
    )


def stay_conditions(codes: DataFrame, comorbidities: DataFrame) -> DataFrame:
    """Distinct (stay_id, index, condition, weight): a code has a condition when it begins with one of its prefixes."""
    distinct = codes.select("code_system", "code").distinct()
    prefixes = distinct.select(
        "code_system", "code", F.explode(F.sequence(F.lit(1), F.greatest(F.length("code"), F.lit(1)))).alias("length")
    ).withColumn("prefix", F.expr("substring(code, 1, length)"))
    matched = (
        prefixes.join(comorbidities, on=["code_system", "prefix"], how="inner")
        .groupBy("code_system", "code", "index", "condition")
        .agg(F.max("weight").alias("weight"))
    )
    return (
        codes.join(matched, on=["code_system", "code"], how="inner")
        .groupBy("stay_id", "index", "condition")
        .agg(F.max("weight").alias("weight"))
    )


def _score(index: str) -> Column:
    """Sum of the weights of an index' conditions, the milder of two forms left out where the graver is there too."""
    graver = {mild: grave for of, grave, mild in GRAVER_FORMS if of == index}
    parts = []
    for of, condition in conditions():
        if of == index:
            weight = F.coalesce(f"{of}_{condition}", F.lit(0.0))
            grave = graver.get(condition)
            parts.append(weight if grave is None else F.when(F.col(f"{of}_{grave}").isNull(), weight).otherwise(0.0))
    return reduce(Column.__add__, parts)


def _is(index: str, condition: str) -> Column:
    return (F.col("index") == index) & (F.col("condition") == condition)
