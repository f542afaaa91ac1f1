"""A local lake: Delta folders read, replaced, kept and put aside by delta-rs, without a metastore."""
