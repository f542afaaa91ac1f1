"""Another pseudonym key: silver and gold are built anew from bronze, what jobs wrote is re-keyed row by row.

Nobody can turn one pseudonym into another but by the raw identifier, which bronze holds: that is where both come from.
A rotation that was killed is run again, with both keys set as before.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import SecretStr
from pyspark.sql import functions as F

from jobs.context import Context
from jobs.featurize import featurize
from jobs.privacy.models import registered
from jobs.privacy.patients import check_key, raw_tables
from jobs.refine import refine, run_nodes
from lakehouse.dates import STAY
from lakehouse.errors import ConfigError
from lakehouse.pseudonyms import Identifier
from lakehouse.records.forgotten import FORGOTTEN, Forgotten
from lakehouse.registry import parameters, registry
from models.provenance import patient_digest


def rotate(context: Context) -> None:
    """From the setting `pseudonym_key` (none: identifiers were plain) to `pseudonym_key_new`.

    ConfigError where there is no new key, or silver was built with another than the old one.
    """
    new = context.settings.pseudonym_key_new
    if new is None or not new.get_secret_value():
        raise ConfigError("ehr rotate-key needs the new key in EHR_PSEUDONYM_KEY_NEW.")
    if new == context.settings.pseudonym_key:
        raise ConfigError("EHR_PSEUDONYM_KEY_NEW is the key that is in force.")
    with context.writing("rotate-key"):
        later = _with_key(context, new)
        for source, tables in raw_tables(context).items():
            try:
                check_key(context, source, tables)
            except ConfigError:
                check_key(later, source, tables)  # a rotation that was killed had come as far as this
        forgotten = Forgotten.of(context.lake, context.settings.pseudonym_key)
        stays, patients = (_both(context, later, table) for table in ("silver.stays", "silver.patients"))
        for name in _written_by_jobs(context):
            _rekey(context, name, stays)
        refine(later)
        featurize(later)
        run_nodes(later, [n for n in registry().after_scoring() if all(map(context.lake.exists, n.table_inputs))])
        _rekey_models(context, patients)
        forgotten.rewrap(context.lake, new)
        for name in context.lake.names():
            if name.startswith(("silver.", "gold.")) or name == FORGOTTEN.name:
                context.lake.erase_history(name)
        context.lake.forget_withdrawn(0)


def _with_key(context: Context, key: SecretStr) -> Context:
    """The same invocation and lake under another key."""
    later = replace(context, settings=context.settings.model_copy(update={"pseudonym_key": key}))
    later.__dict__["lake"] = context.lake
    return later


def _both(context: Context, later: Context, table: str) -> dict[str, str]:
    """The new identifier by the old one, of every row that the sources map onto a silver table keyed by one id."""
    plain, found = Identifier(), {}
    for node in registry().nodes:
        if node.table.name != table or node.mapping is None or not context.lake.exists(node.mapping.inputs[0]):
            continue
        frames = {name.rsplit(".", 1)[-1]: context.lake.read(name) for name in node.mapping.inputs}
        given = {**frames, "identify": plain}
        mapped = node.mapping.function(**{name: given[name] for name in parameters(node.mapping.function)})
        source = node.mapping.source
        for row in mapped.select(F.col(node.table.key[0]).alias("id")).distinct().collect():
            if row["id"] is not None:
                value = row["id"].removeprefix(f"{source}-")
                found[context.identify.of(source, value)] = later.identify.of(source, value)
    return found


def _written_by_jobs(context: Context) -> list[str]:
    """Tables of stays that no function builds: what models said of them."""
    built = {node.table.name for node in registry().nodes}
    return [
        name
        for name, table in registry().tables.items()
        if table.raw is None and name not in built and STAY in table.column_names and context.lake.exists(name)
    ]


def _rekey(context: Context, name: str, new: dict[str, str]) -> None:
    pairs = context.spark.createDataFrame(list(new.items()), "old STRING, new STRING")
    rows = context.lake.read(name)
    columns = [F.coalesce("new", STAY).alias(STAY) if c == STAY else F.col(c) for c in rows.columns]
    joined = rows.join(F.broadcast(pairs), rows[STAY] == pairs["old"], how="left").select(*columns)
    context.lake.replace(name, joined)


def _rekey_models(context: Context, new: dict[str, str]) -> None:
    """Whom each registered version was trained on, under the new identifiers: a later forgetting finds it by them."""
    digests = {patient_digest(old): patient_digest(one) for old, one in new.items()}
    for models, version, seen in registered(context):
        if seen is not None:
            models.put_document(version.run_id, "patients", sorted(digests.get(one, one) for one in seen))
