"""Where figures come from: the code's version and the environment it ran in."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PROJECT = "ehr-lakehouse"
PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "xgboost", "optuna", "mlflow", "skops")


def environment() -> dict[str, Any]:
    """Python, machine, and the versions of the packages that decide a model's figures."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {package: version(package) for package in PACKAGES},
    }


def code_version(folder: Path) -> str:
    """The commit of the checkout that holds `folder`, with "-dirty" when it was edited.

    Outside a checkout: the installed package's version, or "unknown".
    """
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        try:
            return version(PROJECT)
        except PackageNotFoundError:
            return "unknown"
