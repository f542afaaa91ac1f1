"""The DDL of a contract: what it reads as, what it refuses, and how Delta and Spark write the same types."""

import json

import pytest
from deltalake import Schema
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.ddl import Column, delta_schema, delta_type, parse_columns, split_top_level
from lakehouse.table import Rule, Table


def test_columns_read_with_types_nulls_and_comments() -> None:
    assert parse_columns(
        """
        stay_id STRING NOT NULL COMMENT 'the stay, unique; not null',
        `minute` int not null,
        value  DOUBLE COMMENT 'the patient''s value (mmHg), or <none>',
        codes ARRAY<INT>
        """
    ) == (
        Column("stay_id", "STRING", False, "the stay, unique; not null"),
        Column("minute", "INT", False),
        Column("value", "DOUBLE", True, "the patient's value (mmHg), or <none>"),
        Column("codes", "ARRAY<INT>"),
    )


@pytest.mark.parametrize(
    ("written", "spark", "delta"),
    [
        ("BIGINT", "bigint", "long"),
        ("Timestamp", "timestamp", "timestamp"),
        (
            "ARRAY< DOUBLE >",
            "array<double>",
            {"type": "array", "elementType": "double", "containsNull": True},
        ),
        (
            "map<string , ARRAY<INT>>",
            "map<string,array<int>>",
            {
                "type": "map",
                "keyType": "string",
                "valueType": {"type": "array", "elementType": "integer", "containsNull": True},
                "valueContainsNull": True,
            },
        ),
        (
            "STRUCT<featureName: STRING, of STRUCT<n\n INT>>",
            "struct<featureName:string,of:struct<n:int>>",
            {
                "type": "struct",
                "fields": [
                    {"name": "featureName", "type": "string", "nullable": True, "metadata": {}},
                    {
                        "name": "of",
                        "type": {
                            "type": "struct",
                            "fields": [{"name": "n", "type": "integer", "nullable": True, "metadata": {}}],
                        },
                        "nullable": True,
                        "metadata": {},
                    },
                ],
            },
        ),
    ],
)
def test_types_as_spark_and_delta_write_them(written: str, spark: str, delta: object) -> None:
    (column,) = parse_columns(f"x {written}")
    assert column.spark_type == spark
    assert delta_type(written) == delta


@pytest.mark.parametrize(
    ("ddl", "said"),
    [
        ("stay_id", "not a column definition: 'stay_id'"),
        ("stay_id TEXT", "not a type that a contract may use: 'TEXT'"),
        ("stay_id STRING NOT NULL COMMENT 'open", "not a type that a contract may use"),
        ('stay_id STRING COMMENT "double"', "not a type that a contract may use"),
        ("codes ARRAY", "'ARRAY'"),
        ("codes ARRAY<INT", "'ARRAY<INT'"),
        ("codes ARRAY<INT>>", "'INT>'"),
        ("codes ARRAY<INT> x", "not a type that a contract may use"),
        ("codes ARRAY<INT, INT>", "'ARRAY<INT, INT>'"),
        ("codes MAP<STRING>", "'MAP<STRING>'"),
        ("codes STRUCT<>", "'STRUCT<>'"),
        ("codes STRUCT<a>", "not a field of a struct: 'a'"),
        ("code INT<STRING>", "'INT<STRING>'"),
        ("a INT, b INT, A STRING", r"column names repeat: \['a'\]"),
    ],
)
def test_what_does_not_read_is_named(ddl: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_columns(ddl)


def test_commas_split_outside_quotes_and_brackets_alone() -> None:
    assert split_top_level("a 'x, <y''z', b M<c, d<e, f>>, g(h, i), ") == ["a 'x, <y''z'", "b M<c, d<e, f>>", "g(h, i)"]


def test_delta_schema_keeps_comments_and_lifts_not_null_for_quarantine() -> None:
    columns = parse_columns("stay_id STRING NOT NULL COMMENT 'the stay', value DOUBLE")
    assert delta_schema(columns) == {
        "type": "struct",
        "fields": [
            {"name": "stay_id", "type": "string", "nullable": False, "metadata": {"comment": "the stay"}},
            {"name": "value", "type": "double", "nullable": True, "metadata": {}},
        ],
    }
    assert [field["nullable"] for field in delta_schema(columns, nullable=True)["fields"]] == [True, True]


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
PRIMITIVES = st.sampled_from(
    ["BIGINT", "INT", "SMALLINT", "DOUBLE", "FLOAT", "STRING", "BOOLEAN", "TIMESTAMP", "DATE", "BINARY"]
)
TYPES = st.recursive(
    PRIMITIVES,
    lambda inner: st.one_of(
        inner.map(lambda t: f"ARRAY<{t}>"),
        st.tuples(PRIMITIVES, inner).map(lambda t: f"MAP<{t[0]}, {t[1]}>"),
        st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=lambda f: f[0]).map(
            lambda fields: f"STRUCT<{', '.join(f'{n}: {t}' for n, t in fields)}>"
        ),
    ),
    max_leaves=5,
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
COLUMNS = st.lists(
    st.builds(Column, NAMES, TYPES, st.booleans(), TEXTS), min_size=1, max_size=6, unique_by=lambda c: c.name
)


@given(COLUMNS)
def test_what_is_written_reads_back(columns: list[Column]) -> None:
    ddl = ",\n".join(
        f"{c.name} {c.type}{'' if c.nullable else ' NOT NULL'}"
        + (f" COMMENT '{c.comment.replace(chr(39), chr(39) * 2)}'" if c.comment else "")
        for c in columns
    )
    assert parse_columns(ddl) == tuple(columns)


@given(COLUMNS)
def test_delta_takes_every_schema_and_gives_it_back(columns: list[Column]) -> None:
    schema = delta_schema(tuple(columns))
    assert json.loads(Schema.from_json(json.dumps(schema)).to_json()) == schema


class TestTable:
    """The contract around the DDL."""

    def test_names_and_rules_follow_from_it(self) -> None:
        rule = Rule("positive", "value > 0", "warn")
        table = Table("silver.events", "stay_id STRING NOT NULL, value DOUBLE", ("stay_id",), rules=(rule,))
        assert (table.layer, table.quarantine) == ("silver", "silver.events_quarantine")
        assert table.column_names == ["stay_id", "value"]
        assert table.rules_in_force() == (Rule("stay_id_missing", "`stay_id` IS NOT NULL"), rule)

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"name": "Silver.events"}, "must read layer.table in lower case"),
            ({"name": "events"}, "must read layer.table in lower case"),
            ({"key": ("stay",)}, r"silver.events: key names \['stay'\], which the schema lacks"),
            ({"partition_by": ("source",)}, r"partition_by names \['source'\]"),
            ({"cluster_by": ("source",)}, r"cluster_by names \['source'\]"),
            ({"rules": (Rule("a", "true"), Rule("a", "false"))}, r"rule names \['a'\] repeat or are not one word"),
            ({"rules": (Rule("stay_id_missing", "true"),)}, r"rule names \['stay_id_missing'\] repeat"),
            ({"rules": (Rule("two words", "true"),)}, "not one word"),
        ],
    )
    def test_a_contradiction_is_refused(self, given: dict[str, object], said: str) -> None:
        whole = {"name": "silver.events", "ddl": "stay_id STRING NOT NULL", "key": ("stay_id",)}
        with pytest.raises(ValueError, match=said):
            Table(**{**whole, **given})  # type: ignore[arg-type]
