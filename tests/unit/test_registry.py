"""The registry: order by inputs, refusals before anything runs, and the version of the code behind a table."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_lake import bronze, module, node_names, same, table_of

from lakehouse import code
from lakehouse.code import code_version, imports_of, source_file
from lakehouse.errors import ConfigError
from lakehouse.feeds.csv_source import EhrCsv
from lakehouse.registry import build_registry
from lakehouse.table import Mapping, Raw, Table

READINGS = bronze("bronze.readings")


def chain(name: str, *inputs: str) -> Any:
    """A module whose function has the parameters that its inputs ask for."""
    parameters = ", ".join(i.split(".")[-1] for i in inputs)
    names: dict[str, Any] = {}
    exec(f"def build({parameters}): ...", names)
    return table_of(name, names["build"], inputs=inputs)


def test_every_input_comes_before_its_reader() -> None:
    modules = [
        chain("gold.features", "gold.cohort", "silver.stays", "conf.concepts"),
        chain("gold.cohort", "silver.stays"),
        chain("silver.stays", "bronze.readings"),
        READINGS,
    ]
    found = build_registry(modules)
    assert node_names(found.nodes) == ["silver.stays", "gold.cohort", "gold.features"]
    assert node_names(found.layer("gold")) == ["gold.cohort", "gold.features"]
    assert [table.name for table in found.raw_tables()] == ["bronze.readings"]
    assert found.nodes[2].inputs == ("gold.cohort", "silver.stays", "conf.concepts")
    assert found.nodes[2].table_inputs == ("gold.cohort", "silver.stays")
    assert found.readers == {"ehr_csv": EhrCsv}


@given(st.permutations(range(6)), st.data())
def test_any_circle_free_lake_is_ordered(order: list[int], data: st.DataObject) -> None:
    modules = []
    for place, number in enumerate(order):
        earlier = data.draw(st.sets(st.sampled_from(order[:place]))) if place else set()
        modules.append(chain(f"silver.t{number}", *(f"silver.t{i}" for i in sorted(earlier))))
    found = build_registry(data.draw(st.permutations(modules)))
    place_of = {name: i for i, name in enumerate(node_names(found.nodes))}
    assert len(place_of) == 6
    assert all(place_of[i] < place_of[node.name] for node in found.nodes for i in node.inputs)


def test_a_circle_is_refused_by_name() -> None:
    modules = [chain("silver.a", "silver.c"), chain("silver.b", "silver.a"), chain("silver.c", "silver.b")]
    with pytest.raises(ConfigError) as refused:
        build_registry([*modules, chain("silver.d", "silver.a")])
    circle = str(refused.value).removeprefix("tables read one another in a circle: ").removesuffix(".").split(" -> ")
    assert circle[0] == circle[-1]
    assert sorted(circle[1:]) == ["silver.a", "silver.b", "silver.c"]
    with pytest.raises(ConfigError, match=r"in a circle: silver.a -> silver.a\."):
        build_registry([chain("silver.a", "silver.a")])


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^silver.stays reads bronze.absent, which no module declares\.$"):
        build_registry([chain("silver.stays", "bronze.absent")])
    with pytest.raises(ConfigError, match=r"^silver.stays reads conf.absent, but there is no conf/absent.csv\.$"):
        build_registry([chain("silver.stays", "conf.absent")])
    table = Table("bronze.films", "id BIGINT", (), raw=Raw("ward", ("films.dcm",), reader="dicom"))
    with pytest.raises(ConfigError, match=r"^bronze.films is read by dicom, which no module declares\.$"):
        build_registry([module("films", TABLES=(table,))])


def test_one_name_is_one_table() -> None:
    with pytest.raises(ConfigError, match=r"^table silver.a is declared twice, the second time in silver.a\.$"):
        build_registry([chain("silver.a"), chain("silver.a")])


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda stays: stays, "takes stays; its inputs are bronze.readings."),
        (lambda: None, "takes ; its inputs are bronze.readings."),
        (lambda readings, stays: readings or stays, "takes readings, stays; its inputs are bronze.readings."),
        (lambda readings, task: task or readings, "asks for a task, none is named."),
    ],
)
def test_a_function_must_take_its_inputs(build: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_registry([READINGS, table_of("silver.stays", build, inputs=("bronze.readings",))])
    assert str(refused.value) == f"silver.stays: {__name__}.<lambda> {said}"


def test_a_function_may_ask_for_task_and_pseudonyms() -> None:
    build = lambda identify, readings, task: readings  # noqa: E731, ARG005
    found = build_registry([READINGS, table_of("silver.stays", build, inputs=("bronze.readings",), task="mortality")])
    assert node_names(found.nodes) == ["silver.stays"]


def test_two_inputs_of_one_last_name_are_refused() -> None:
    modules = [chain("silver.stays"), chain("gold.stays")]
    reader = table_of("gold.both", lambda stays: stays, inputs=("silver.stays", "gold.stays"))
    with pytest.raises(ConfigError, match=r"takes stays; its inputs are silver.stays, gold.stays\."):
        build_registry([*modules, reader])


def test_only_what_is_read_can_be_consumed() -> None:
    stays = table_of("silver.stays", same(), inputs=("bronze.readings",), consumes=("bronze.reading",))
    with pytest.raises(ConfigError, match=r"^silver.stays consumes bronze.reading, which it does not read\.$"):
        build_registry([READINGS, stays])


def test_a_built_table_cannot_append() -> None:
    with pytest.raises(ConfigError, match=r"silver.stays is built whole by its function: its mode cannot be append"):
        build_registry([READINGS, table_of("silver.stays", same(), inputs=("bronze.readings",), mode="append")])


def part(source: str, table: str = "silver.stays", **rest: Any) -> Any:
    inputs = (f"bronze.{source}",)
    mapping = Mapping(source, table, inputs, same(source), **rest)
    return module(f"silver.sources.{source}", MAPPINGS=(mapping,))


STAYS = table_of(
    "silver.stays",
    lambda mapped, readings: mapped or readings,
    inputs=("mapped", "bronze.readings"),
    consumes=("bronze.readings",),
)


def test_each_source_is_a_node_of_its_own() -> None:
    raw = [READINGS, bronze("bronze.ward"), bronze("bronze.clinic")]
    reader = table_of("gold.cohort", same("stays"), inputs=("silver.stays",))
    found = build_registry([reader, STAYS, *raw, part("ward", consumes=("bronze.ward",)), part("clinic")])
    assert node_names(found.nodes) == ["silver.stays[ward]", "silver.stays[clinic]", "gold.cohort"]
    ward, clinic, cohort = found.nodes
    assert ward.inputs == ("bronze.ward", "bronze.readings")
    assert (ward.consumes, clinic.consumes, cohort.consumes) == (("bronze.ward",), (), ())


def test_a_part_must_fit_a_mapped_table() -> None:
    raw = [READINGS, bronze("bronze.ward")]
    with pytest.raises(ConfigError, match=r"silver.sources.ward maps onto silver.absent, which no module declares"):
        build_registry([*raw, part("ward", "silver.absent")])
    whole = table_of("silver.stays", same(), inputs=("bronze.readings",))
    with pytest.raises(ConfigError, match=r"silver.sources.ward maps onto silver.stays, whose inputs lack mapped"):
        build_registry([*raw, whole, part("ward")])
    with pytest.raises(ConfigError, match=r"^silver.stays\[ward\] is mapped twice\.$"):
        build_registry([*raw, STAYS, part("ward"), part("ward")])
    wrong = module("m", MAPPINGS=(Mapping("ward", "silver.stays", ("bronze.ward",), same("clinic")),))
    with pytest.raises(ConfigError, match=r"silver.stays\[ward\]: .*build takes clinic; its inputs are bronze.ward\."):
        build_registry([*raw, STAYS, wrong])


def test_a_table_without_function_is_declared_and_not_run() -> None:
    found = build_registry([module("gold.p", TABLE=Table("gold.predictions", "id BIGINT", ("id",)))])
    assert (list(found.tables), found.nodes) == (["gold.predictions"], ())


@dataclass
class Package:
    """A package of layer code in a test's folder."""

    folder: Path
    name: str

    def write(self, module_name: str, text: str) -> None:
        (self.folder / f"{module_name}.py").write_text(text)

    def version(self, module_name: str) -> str:
        imports_of.cache_clear()
        source_file.cache_clear()
        importlib.invalidate_caches()
        return code_version(f"{self.name}.{module_name}")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    name = "tiny_layer"
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(code, "VERSIONED", (name,))
    made = Package(folder, name)
    made.write("__init__", "")
    made.write("units", "FACTOR = 2\n")
    made.write("cleaning", f"from {name} import units\n")
    made.write("events", f"from {name}.cleaning import clean\nimport json\n")
    made.write("other", "X = 1\n")
    yield made
    for loaded in [m for m in sys.modules if m.split(".")[0] == name]:
        del sys.modules[loaded]
    imports_of.cache_clear()
    source_file.cache_clear()


def test_code_version_follows_what_is_imported_and_nothing_else(package: Package) -> None:
    events, other = package.version("events"), package.version("other")
    assert len(events) == 12
    assert events == package.version("events")
    package.write("units", "FACTOR = 3\n")
    assert package.version("events") != events, "an import of an import changed"
    assert package.version("other") == other
    package.write("units", "FACTOR = 2\n")
    assert package.version("events") == events, "the same text is the same code"
    package.write("events", f"from {package.name}.cleaning import clean\nimport json\n# seen\n")
    assert package.version("events") != events


def test_code_version_follows_a_new_import_and_survives_a_circle(package: Package) -> None:
    before = package.version("events")
    package.write(
        "cleaning", f"import {package.name}.units\nimport {package.name}.events\nimport {package.name}.other\n"
    )
    after = package.version("events")
    package.write("other", "X = 2\n")
    assert len({before, after, package.version("events")}) == 3


def test_imports_are_named_absolutely(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text("import a.b as c\nfrom d import e, f\ndef g():\n    from h import i\n")
    assert imports_of(file) == ("a.b", "d", "d.e", "d.f", "h", "h.i")
