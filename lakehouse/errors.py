"""Errors that a person can act on, and an exit code for a scheduler.

Each is one sentence that names the thing, the place and the rule.
"""


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


def one_sentence(error: Exception) -> str:
    """The first line of what an error says: engines append stack traces to theirs."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
