"""The whole job where executors are other processes, from the built wheel alone, as the README has it for a cluster."""

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from lakehouse.io import Lake
from tests.command_blocks import ROOT, blocks
from tests.conftest import ENGINE

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(ENGINE != "spark", reason="asks JVMs: among the tests of EHR_ENGINE=spark"),
]

BIN = Path(sys.executable).parent
CLUSTER, ENVIRONMENT = "spark://head:7077", "/opt/ehr"
"""What the README calls the reader's own."""
SPARK_DEFAULTS = "spark.sql.shuffle.partitions 2\nspark.ui.enabled false\nspark.sql.ui.explainMode simple\n"
"""A cluster's own configuration: how much its machines do at once, and that no page tells of its plans."""
SHORTEST = {"xgboost": None, "ssm": None, "ensemble": None}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that has the wheel, and what the wheel needs from the one of this process."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([BIN / "hatchling", "build", "-t", "wheel", "-d", folder / "dist"], cwd=ROOT, check=True)
    clean = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clean], check=True)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([clean / "bin" / "python", "-c", ask], text=True).strip())
    # The folder alone: the link from it to this working tree is not followed.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (wheel,) = (folder / "dist").glob("*.whl")
    install = [BIN / "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", clean / "bin" / "python"]
    subprocess.run([*install, wheel], check=True)
    for script in ("spark-submit", "find-spark-home", "find_spark_home.py"):
        (clean / "bin" / script).symlink_to(BIN / script)
    question = site / "conf" / "tasks" / "mortality.yml"
    task = yaml.safe_load(question.read_text())
    question.write_text(yaml.safe_dump({**task, "presets": {"shortest": SHORTEST}}))
    return clean


def commands(environment: Path) -> str:
    """The README's, with this cluster in place of the reader's and this environment in place of theirs."""
    (block,) = (block for block in blocks(ROOT / "README.md") if "spark-submit" in block.text)
    assert block.reason, "the README says why no test runs it as it stands"
    submit = block.text[block.text.index("export PYSPARK_PYTHON") :]
    assert CLUSTER in submit and ENVIRONMENT in submit
    return submit.replace(CLUSTER, "'local-cluster[2,1,2048]'").replace(ENVIRONMENT, str(environment))


@pytest.mark.timeout(1800)
def test_the_whole_job_runs_on_a_cluster_from_the_wheel(environment: Path, generated_raw: Path, tmp_path: Path) -> None:
    shutil.copytree(generated_raw / "challenge-2012", tmp_path / "raw" / "challenge-2012")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text(SPARK_DEFAULTS)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("EHR_", "SPARK_", "PYSPARK_", "PYTHON"))}
    given = {"EHR_PRESET": "shortest", "SPARK_CONF_DIR": str(tmp_path / "conf"), "COLUMNS": "200"}
    done = subprocess.run(
        ["bash", "-euc", commands(environment)], cwd=tmp_path, env=inherited | given,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1700, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert not re.search(r" ERROR |Traceback", done.stdout), done.stdout

    lake = Lake(tmp_path / "lake")
    runs = lake.records("ops.runs")
    assert {(run["engine"], run["status"]) for run in runs} == {("spark", "built")}
    stages = {run["node"].split(".")[0] for run in runs}
    assert stages == {"bronze", "silver", "gold", "models"}
    stays = {row["stay_id"] for row in lake.records("gold.mortality_cohort")}
    predicted = lake.records("gold.mortality_predictions")
    assert len(predicted) == len(stays) > 40
    assert {row["stay_id"] for row in predicted} == stays
    assert all(0 < row["risk"] < 1 and row["model_version"] == 1 for row in predicted)
    written = list((tmp_path / "lake" / "silver").rglob("*.parquet"))
    assert written
    assert {stat.S_IMODE(file.stat().st_mode) for file in written} == {0o600}, "executors write for the owner alone"
