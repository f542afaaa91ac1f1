"""Pure modelling: arrays and frames in, models, risks and figures out. Knows no Spark session, no lake."""

import os

# MLflow reads these when it is imported: no usage reports, no progress bars over a handful of small files.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# OpenMP reads this when it is loaded: threads that wait must sleep. Spinning ones made a fit fifteen times slower on
# cores that others use as well, and gained nothing on idle ones.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
