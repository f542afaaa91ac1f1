"""What is wrong with the machine, read from the words of engines, system and libraries."""

import errno

import pytest

from lakehouse.engines.machine import AGAIN, trouble_of
from lakehouse.errors import ConfigError, ContractError, RawDataError, one_sentence


def raised(text: str, *causes: BaseException) -> BaseException:
    """An error of the runner, raised from an engine's."""
    error: BaseException = ContractError(f"silver.stays failed: {text}")
    first = error
    for cause in causes:
        error.__cause__ = cause
        error = cause
    return first


SAIL = "external error: Generic LocalFileSystem error: Unable to copy data: No space left on device (os error 28)"
DELTA = "Generic LocalFileSystem error: Unable to open file /lake/ops/runs/1.json#1: Permission denied (os error 13)"
JVM = "An error occurred while calling o79.parquet.\n: SparkException: Job aborted\nCaused by: java.io.{}"
FULL = f"free some space, {AGAIN}."
WORKER_ENDED = (
    "silver.stays failed: a Python process of the engine was ended from outside, most often by the system for "
    f"want of memory: free some memory or use fewer cores (setting cores), {AGAIN}."
)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), f"the disk is full: {FULL}"),
        (OSError(errno.ENOSPC, "No space left on device", "/lake/x"), f"the disk is full (/lake/x): {FULL}"),
        (raised(SAIL), f"silver.stays failed: the disk is full: {FULL}"),
        (
            raised("An error occurred", RuntimeError(JVM.format("IOException: No space left on device"))),
            f"silver.stays failed: the disk is full: {FULL}",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/lake/_lock"),
            f"/lake/_lock may not be read or written by this user: give the user the right to it, {AGAIN}.",
        ),
        (
            raised(DELTA),
            "silver.stays failed: /lake/ops/runs/1.json#1 may not be read or written by this user: give the "
            f"user the right to it, {AGAIN}.",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/lake/ops"),
            "/lake/ops is on a medium that is read-only: name a folder that can be written (--lake).",
        ),
        (
            RuntimeError("can't start new thread"),
            f"memory is used up: free some or use fewer cores (setting cores), {AGAIN}.",
        ),
        (MemoryError(), f"memory is used up: free some or use fewer cores (setting cores), {AGAIN}."),
        (
            raised("x", RuntimeError(JVM.format("x\nCaused by: java.lang.OutOfMemoryError: Java heap space"))),
            "silver.stays failed: the memory of the JVM engine is used up: give it more (setting driver_memory), "
            f"{AGAIN}.",
        ),
        (
            raised("x", RuntimeError("SparkException: Python worker exited unexpectedly (crashed)")),
            WORKER_ENDED,
        ),
        (
            raised("x", RuntimeError("o8.load.\n: java.io.EOFException\n\tat org.apache.spark.sql.execution.python.X")),
            WORKER_ENDED,
        ),
        (
            raised("x", RuntimeError("java.lang.IllegalStateException: Python daemon failed to launch worker.")),
            WORKER_ENDED,
        ),
        (
            raised("x", RuntimeError("java.net.SocketException: Connection reset\n\tat o.a.spark.api.python.X")),
            WORKER_ENDED,
        ),
        (
            raised("x", ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")),
            f"silver.stays failed: the engine is gone: look whether the system ended it for want of memory, {AGAIN}.",
        ),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_a_trouble_is_one_sentence_on_what_it_is_and_what_to_do(error: BaseException, sentence: str) -> None:
    found = trouble_of(error)
    assert found is not None and (str(found), found.exit_code) == (sentence, 7)


def test_what_a_remote_engine_says_is_its_details() -> None:
    text = '<_InactiveRpcError of RPC that terminated with:\n\tstatus = StatusCode.X\n\tdetails = "no such column"\n>'
    assert one_sentence(RuntimeError(text)) == "no such column"
    assert one_sentence(RuntimeError("An error occurred while calling o8.load.\n: a.b.C: no\n\tat d")) == "a.b.C: no"
    assert one_sentence(RuntimeError("first\nsecond")) == "first"
    assert one_sentence(RuntimeError()) == "RuntimeError"


def test_what_was_being_handled_is_looked_at_too() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise ContractError("gold.x could not be put back to version 1") from None
    except ContractError as error:
        found = trouble_of(error)
    assert found is not None and str(found).startswith("the disk is full")


@pytest.mark.parametrize(
    "error",
    [
        ContractError("silver.stays: rows break risk_is_probability (3 rows); nothing was written."),
        RawDataError("PATIENTS.csv cannot be read: Permission denied."),
        ConfigError("the folder was refused: Permission denied"),
        ValueError("of another kind"),
    ],
)
def test_another_error_is_none_of_these(error: Exception) -> None:
    assert trouble_of(error) is None
