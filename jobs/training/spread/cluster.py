"""Where a training is spread: Spark's executors, a folder that all of them read, an MLflow that all of them know."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from pyspark.sql import DataFrame, SparkSession

from jobs.training.matrix import Matrix
from jobs.training.rows import FEATURES, write_rows
from lakehouse.errors import ConfigError
from lakehouse.local.staging import STAGING
from lakehouse.session import open_session
from lakehouse.settings import Settings
from models.registry import Registry

GPUS = "spark.task.resource.gpu.amount"


@dataclass(frozen=True)
class Cluster:
    """A session in this process, whose executors run `slots` tasks at a time.

    `folder` holds the training rows (`rows.write_rows`), whose digest is `data`; `features` is their gold table, other
    stays among them, or the file in that folder. Trials are kept in the MLflow experiment.
    """

    session: SparkSession
    slots: int
    gpus: bool
    folder: Path
    data: str
    features: DataFrame
    tracking_uri: str
    experiment_id: str


@contextmanager
def cluster_of(settings: Settings, rows: Matrix, gold: Callable[[], DataFrame] | None = None) -> Iterator[Cluster]:
    """The executors of the engine in force, given these rows; `gold` gives the table that their features come from.

    ConfigError where the engine cannot train.
    """
    if settings.engine == "sail":
        raise ConfigError(
            "train_engine spark needs JVM Spark, whose executors can work on one model together: the embedded engine "
            "cannot. Set EHR_ENGINE=spark, or EHR_TRAIN_ENGINE=local."
        )
    session = open_session(settings)
    if type(session).__module__.startswith("pyspark.sql.connect"):
        raise ConfigError(
            "train_engine spark needs a session in this process, as spark-submit or a Databricks cluster in dedicated "
            "access mode gives: xgboost.spark does not train over Spark Connect. Set EHR_TRAIN_ENGINE=local."
        )
    if settings.tracking_uri.startswith("sqlite") and not str(session.conf.get("spark.master", "")).startswith("local"):
        raise ConfigError(
            "train_engine spark keeps its trials where all executors reach them, which a SQLite file is not: name an "
            "MLflow server by EHR_MLFLOW_URI."
        )
    artifacts = settings.lake.resolve() / "mlflow" / "artifacts"
    # The next verb that writes clears away what a killed one left among the staged rows.
    staging = Path(settings.volume or settings.lake.resolve()) / STAGING
    for folder in (artifacts, staging):
        folder.mkdir(parents=True, exist_ok=True)
    experiment = settings.experiment or "training"
    if settings.tracking_uri != "databricks":  # there, an experiment is made by who deploys
        experiment += "-trials"
    registry = Registry(settings.tracking_uri, artifacts, experiment, settings.registry_uri)
    folder = Path(mkdtemp(prefix="training-", dir=staging))
    try:
        write_rows(rows, folder)
        features = session.read.parquet(str(folder / FEATURES)) if gold is None else gold()
        gpus = session.conf.get(GPUS, "0") not in ("0", None)
        yield Cluster(
            session, _slots(session), gpus, folder, rows.digest(), features, settings.tracking_uri,
            registry.experiment_id,
        )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _slots(session: SparkSession) -> int:
    """How many tasks run at a time: what a barrier stage may ask for. PySpark itself does not tell."""
    context = session.sparkContext._jsc.sc()
    return int(context.maxNumConcurrentTasks(context.resourceProfileManager().resourceProfileFromId(0)))
