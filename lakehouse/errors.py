"""Errors that a person can act on, and an exit code for a scheduler.

Each is one sentence that names the thing, the place and the rule.
"""

import os
import re
import sys


class LakehouseError(Exception):
    """Base of every error that the command line prints as one sentence instead of a stack trace."""

    exit_code = 1


class ConfigError(LakehouseError):
    """A setting, task file or dictionary is missing, unknown or contradictory."""

    exit_code = 2


class RawDataError(LakehouseError):
    """A raw file or folder is missing, truncated or not of its published format."""

    exit_code = 3


class ContractError(LakehouseError):
    """A table broke its contract: schema, key, a `fail` rule, or reconciliation with its inputs."""

    exit_code = 4


class ModelError(LakehouseError):
    """A model is missing from the registry or does not fit the features it is given."""

    exit_code = 5


class LockedError(LakehouseError):
    """Another run writes to the lake, and did not end in the time that one was willing to wait."""

    exit_code = 6


class ResourceError(LakehouseError):
    """The machine could not: its disk is full, its memory is used up, a file or folder is not one's to use."""

    exit_code = 7


class DeadlineError(LakehouseError):
    """A table did not get on in the time that it may take."""

    exit_code = 8


def one_sentence(error: Exception) -> str:
    """The first line of what an error says: engines append stack traces to theirs, and remote ones put what they say
    into the midst of it."""
    text = str(error).strip()
    if details := re.search(r'^\s*details = "(.+)"', text, re.MULTILINE):
        return details[1]
    text = re.sub(r"^An error occurred while calling \S+\n: ", "", text)  # as Py4J begins
    return text.splitlines()[0] if text else type(error).__name__


def end_at_once(error: LakehouseError) -> None:
    """Ends the process with the sentence and the code of an error. No handler runs: one of them may be what it waits
    for. It is as if it had been killed, which a lake survives."""
    print(f"error {error}", file=sys.stderr, flush=True)
    os._exit(error.exit_code)
