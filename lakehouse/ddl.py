"""Reads the DDL of a contract without a session (types, NOT NULL, comments), and gives it as a Delta schema."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_COLUMN = re.compile(
    r"^`?(?P<name>\w+)`?\s+(?P<type>.+?)(?P<required>\s+NOT\s+NULL)?(?:\s+COMMENT\s+'(?P<comment>(?:[^']|'')*)')?$",
    re.IGNORECASE | re.DOTALL,
)
_NESTED = re.compile(r"(?P<name>\w+)\s*<(?P<inner>.*)>", re.DOTALL)
_STRUCT_FIELD = re.compile(r"(?P<name>\w+)\s*[:\s]\s*(?P<type>.+)", re.DOTALL)
_DELTA_TYPES = {
    "BIGINT": "long", "INT": "integer", "SMALLINT": "short", "DOUBLE": "double", "FLOAT": "float", "STRING": "string",
    "BOOLEAN": "boolean", "TIMESTAMP": "timestamp", "DATE": "date", "BINARY": "binary",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column of a contract; `type` is Spark DDL such as `ARRAY<INT>`, upper-case where it does not nest."""

    name: str
    type: str
    nullable: bool = True
    comment: str = ""

    @property
    def spark_type(self) -> str:
        """The type as `DataType.simpleString()` writes it."""
        return _simple_string(delta_type(self.type))


def parse_columns(ddl: str) -> tuple[Column, ...]:
    """Columns of `name TYPE [NOT NULL] [COMMENT 'text'], ...`; ValueError names the part that does not read so."""
    columns = []
    for part in split_top_level(ddl):
        match = _COLUMN.match(part)
        if not match:
            raise ValueError(f"not a column definition: {part!r}")
        delta_type(match["type"].strip())
        columns.append(
            Column(
                match["name"], match["type"].strip().upper() if "<" not in match["type"] else match["type"].strip(),
                nullable=not match["required"], comment=(match["comment"] or "").replace("''", "'"),
            )
        )  # fmt: skip
    names = [column.name.lower() for column in columns]
    if len(set(names)) != len(names):
        raise ValueError(f"column names repeat: {sorted({n for n in names if names.count(n) > 1})}")
    return tuple(columns)


def spark_ddl(columns: Iterable[Column]) -> str:
    """Names and types alone, as a schema for Spark."""
    return ", ".join(f"`{column.name}` {column.type}" for column in columns)


def literal(text: str) -> str:
    """The text as standard SQL writes it, within quotes: DuckDB's, delta-rs's."""
    return "'" + text.replace("'", "''") + "'"


def spark_literal(text: str) -> str:
    """The text as Spark SQL writes it, where a backslash escapes what follows, and a doubled quote is none."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def split_top_level(text: str) -> list[str]:
    """Parts between commas that stand outside quotes, parentheses and angle brackets."""
    parts, depth, quoted, start = [], 0, False, 0
    for i, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif not quoted and character in "<(":
            depth += 1
        elif not quoted and character in ">)":
            depth -= 1
        elif not quoted and depth == 0 and character == ",":
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def delta_type(spark_type: str) -> Any:
    """A Spark type in Delta's JSON form; handles ARRAY, MAP and STRUCT."""
    nested = _NESTED.fullmatch(spark_type.strip())
    inner = split_top_level(nested["inner"]) if nested else []
    match (nested["name"] if nested else spark_type.strip()).upper(), inner:
        case "ARRAY", [element]:
            return {"type": "array", "elementType": delta_type(element), "containsNull": True}
        case "MAP", [key, value]:
            return {
                "type": "map",
                "keyType": delta_type(key),
                "valueType": delta_type(value),
                "valueContainsNull": True,
            }
        case "STRUCT", [_, *_]:
            return {"type": "struct", "fields": [_struct_field(part) for part in inner]}
        case primitive, [] if primitive in _DELTA_TYPES:
            return _DELTA_TYPES[primitive]
    raise ValueError(f"not a type that a contract may use: {spark_type!r}")


def _struct_field(part: str) -> dict[str, Any]:
    field = _STRUCT_FIELD.fullmatch(part)
    if not field:
        raise ValueError(f"not a field of a struct: {part!r}")
    return {"name": field["name"], "type": delta_type(field["type"]), "nullable": True, "metadata": {}}


def _simple_string(kind: Any) -> str:
    if isinstance(kind, str):
        return next((name.lower() for name, delta in _DELTA_TYPES.items() if delta == kind), kind)
    if kind["type"] == "array":
        return f"array<{_simple_string(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{_simple_string(kind['keyType'])},{_simple_string(kind['valueType'])}>"
    fields = (f"{field['name']}:{_simple_string(field['type'])}" for field in kind["fields"])
    return f"struct<{','.join(fields)}>"


def delta_schema(columns: tuple[Column, ...], nullable: bool = False) -> dict[str, Any]:
    """Delta's schema JSON, comments included; `nullable` lifts every NOT NULL (for quarantine)."""
    return {
        "type": "struct",
        "fields": [
            {
                "name": c.name,
                "type": delta_type(c.type),
                "nullable": nullable or c.nullable,
                "metadata": {"comment": c.comment} if c.comment else {},
            }
            for c in columns
        ],
    }


def stored_columns(schema: dict[str, Any]) -> tuple[Column, ...]:
    """Columns of Delta's schema JSON, types as Spark's `simpleString()` writes them."""
    return tuple(
        Column(f["name"], _simple_string(f["type"]), f["nullable"], f["metadata"].get("comment", ""))
        for f in schema["fields"]
    )
