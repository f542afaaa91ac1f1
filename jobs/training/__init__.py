"""From gold tables to registered models: fitting, the record of a run, the registry and its gate."""
