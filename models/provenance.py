"""Where figures come from: the code's version, the environment it ran in, and whose data a model has seen."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PROJECT = "ehr-lakehouse"
PACKAGES = (
    "numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "xgboost", "optuna", "torch", "skops", "mlflow",
)  # fmt: skip
"""Those that decide a model's figures, and the one that keeps them."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


def environment() -> dict[str, Any]:
    """Python, machine, cores, threads, device, and the versions of the packages that decide a model's figures."""
    import torch  # noqa: PLC0415  (to ask for a commit's name needs none of it)

    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": {"torch": torch.get_num_threads(), **{name: os.environ.get(name) for name in THREADS}},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "packages": {package: _installed(package) for package in PACKAGES},
    }


def patient_digests(patients: Iterable[object]) -> list[str]:
    """Sixteen hex digits of SHA-256 a patient, sorted: whom a model was trained on, without naming them.

    A digest hides nobody whose identifier can be guessed; that gold's identifiers are keyed pseudonyms does.
    """
    return sorted({patient_digest(patient) for patient in patients})


def patient_digest(patient: object) -> str:
    return hashlib.sha256(str(patient).encode()).hexdigest()[:16]


def code_version(folder: Path) -> str:
    """The commit of the checkout that holds `folder`, with "-dirty" when it was edited.

    Outside a checkout: the installed package's version, or "unknown".
    """
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return _installed(PROJECT) or "unknown"


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name: vector units differ by it, and with them the last bits of a sum."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
