"""Secrets that a Databricks workspace keeps: read when a run needs one, never stored, logged or put in a variable."""

from lakehouse.errors import ConfigError, one_sentence


def read_secret(scope: str, key: str) -> str:
    """The secret `key` of a scope; ConfigError where no workspace answers or the scope does not give it.

    On Databricks the cluster's own identity reads it, elsewhere that of the DATABRICKS_* variables.
    """
    try:
        from databricks.sdk import WorkspaceClient  # noqa: PLC0415  (a second that only Databricks needs to pay)
    except ImportError:
        raise ConfigError(f"secret scope {scope} needs the package databricks-sdk, which is not installed.") from None
    try:
        return str(WorkspaceClient().dbutils.secrets.get(scope, key))
    except Exception as error:  # in a job it is an error of the JVM, elsewhere one of HTTP or of the configuration
        raise ConfigError(f"secret scope {scope} does not give {key}: {one_sentence(error)}") from None
