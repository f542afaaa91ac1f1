"""The files of conf/ that are data: a clinical question, a dictionary."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lakehouse import reference, settings, tasks
from lakehouse.errors import ConfigError
from lakehouse.reference import dictionary_frame, dictionary_version, read_dictionary
from lakehouse.tasks import Protocol, Split, load_task


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "conf"
    (folder / "tasks").mkdir(parents=True)
    for module in (settings, tasks, reference):
        monkeypatch.setattr(module, "CONF", folder)
    return folder


def test_a_task_is_its_file_over_the_defaults(conf: Path) -> None:
    (conf / "tasks" / "mortality.yml").write_text(
        "label: in_hospital_death\nwindow_hours: 24\nsplit: {by: patient_hash, test_fraction: 0.3}\n"
        "feature_groups: {saps: true, retrospective: false}\n"
    )
    task = load_task("mortality")
    assert (task.name, task.label, task.window_hours, task.min_age) == ("mortality", "in_hospital_death", 24, 16)
    assert task.split == Split(by="patient_hash", test_fraction=0.3)
    assert (task.split.train, task.split.test) == (("a",), ("b",))
    assert task.feature_groups == {"saps": True, "retrospective": False}


def test_a_preset_changes_folds_and_models_and_no_table(conf: Path) -> None:
    (conf / "tasks" / "mortality.yml").write_text(
        "label: in_hospital_death\nfolds: 10\nmodels: {a: {x: 1, y: 2}, b: {z: 3}}\n"
        "presets: {quick: {folds: 4, a: {x: 9}, b: null}, slow: {a: {y: 5}}}\n"
    )
    task, quick, slow = (load_task("mortality", preset) for preset in ("default", "quick", "slow"))
    assert (task.folds, quick.folds, slow.folds) == (10, 4, 10)
    assert quick.models == {"a": {"x": 9, "y": 2}}
    assert slow.models == {"a": {"x": 1, "y": 5}, "b": {"z": 3}}
    assert task.of_tables() == quick.of_tables()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("label: x\nwindow: 48", "conf/tasks/mortality.yml has no setting 'window'; did you mean 'window_hours'"),
        (
            "label: x\nsplit: {tests: [b]}",
            "split of conf/tasks/mortality.yml has no setting 'tests'; did you mean 'test'",
        ),
        ("label: x\nwindow_hours: 0", "conf/tasks/mortality.yml: window_hours: Input should be greater than or equal"),
        ("label: x\nsplit: {by: stay}", "conf/tasks/mortality.yml: split.by: Input should be 'record_set' or 'patient"),
        (
            "label: x\nprotocols: {early: {window_hour: 24}}",
            "protocol early of conf/tasks/mortality.yml has no setting 'window_hour'; did you mean 'window_hours'",
        ),
        (
            "label: x\nprotocols: {again: {repeats: 0}}",
            "conf/tasks/mortality.yml: protocols.again.repeats: ",
        ),
        ("window_hours: 48", "conf/tasks/mortality.yml: label: Field required"),
        ("label: [", "conf/tasks/mortality.yml is not YAML"),
        ("- label", "conf/tasks/mortality.yml must hold keys and values"),
    ],
)
def test_a_wrong_task_names_file_key_and_problem(conf: Path, text: str, said: str) -> None:
    (conf / "tasks" / "mortality.yml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_task("mortality")
    assert str(refused.value).startswith(said)


def test_a_protocol_asks_the_same_question_of_others_or_earlier(conf: Path) -> None:
    (conf / "tasks" / "mortality.yml").write_text(
        "label: x\nmin_age: 18\nprotocols:\n"
        "  early: {train: [a], test: [], window_hours: 24}\n  dealt: {by: patient_hash, sets: [a, b], repeats: 3}\n"
    )
    task = load_task("mortality")
    early, dealt = (task.under(task.protocols[name]) for name in ("early", "dealt"))
    assert (early.window_hours, early.min_age, early.split) == (24, 18, Split(train=("a",), test=()))
    assert (dealt.window_hours, dealt.split) == (48, Split(by="patient_hash"))
    assert type(dealt.split) is Split, "tables are built from the split alone"
    assert task.protocols["dealt"] == Protocol(by="patient_hash", sets=("a", "b"), repeats=3)
    assert early.of_tables()["split"].keys() == Split().model_dump().keys()


def test_an_unknown_task_names_the_known_ones(conf: Path) -> None:
    (conf / "tasks" / "readmission.yml").touch()
    (conf / "tasks" / "mortality.yml").touch()
    with pytest.raises(ConfigError, match="no task 'morality': conf/tasks holds mortality, readmission"):
        load_task("morality")


DICTIONARY = 'id,concept,scale,log,note\n1,heart_rate,1,false,\n2,urine,0.5,True,"a, b"\n'


def test_a_dictionary_is_typed_by_its_columns(conf: Path, spark: SparkSession) -> None:
    (conf / "tiny.csv").write_text(DICTIONARY)
    rows = [
        {"id": 1, "concept": "heart_rate", "scale": 1.0, "log": False, "note": None},
        {"id": 2, "concept": "urine", "scale": 0.5, "log": True, "note": "a, b"},
    ]
    assert read_dictionary("tiny") == read_dictionary("conf.tiny") == rows
    frame = dictionary_frame(spark, "conf.tiny")
    assert [f"{f.name} {f.dataType.simpleString()}" for f in frame.schema] == [
        "position int", "id int", "concept string", "scale double", "log boolean", "note string",
    ]  # fmt: skip
    assert [row.asDict() for row in frame.collect()] == [{"position": i, **row} for i, row in enumerate(rows, 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,scale\n1,1\n2,one\n", "conf/tiny.csv line 3: could not convert string to float: 'one'."),
        ("id,scale\n1.5,1\n", "conf/tiny.csv line 2: invalid literal for int() with base 10: '1.5'."),
        ("id,log\n1,yes\n", "conf/tiny.csv line 2: log is 'yes', neither true nor false."),
        ("id,scale\n1\n", "conf/tiny.csv line 2: zip() argument 2 is shorter than argument 1."),
        ("id,scale\n", "conf/tiny.csv holds no row."),
        ("", "conf/tiny.csv holds no row."),
    ],
)
def test_a_wrong_dictionary_names_file_line_and_problem(conf: Path, text: str, said: str) -> None:
    (conf / "tiny.csv").write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_dictionary("tiny")
    assert str(refused.value) == said


@pytest.mark.usefixtures("conf")
def test_a_dictionary_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no dictionary conf.absent: conf/absent.csv does not exist"):
        read_dictionary("conf.absent")


def test_its_version_follows_the_content_alone(conf: Path) -> None:
    (conf / "tiny.csv").write_text(DICTIONARY)
    before = dictionary_version("conf.tiny")
    (conf / "tiny.csv").write_text(DICTIONARY)
    assert dictionary_version("conf.tiny") == before
    (conf / "tiny.csv").write_text(DICTIONARY.replace("0.5", "0.6"))
    assert dictionary_version("conf.tiny") != before


def test_a_source_sees_its_own_rows_and_those_of_every_source(conf: Path, spark: SparkSession) -> None:
    (conf / "tiny.csv").write_text("source,item\nward,a\nclinic,b\n,c\n")
    rows = dictionary_frame(spark, "conf.tiny", "ward").collect()
    assert [tuple(row) for row in rows] == [(1, "ward", "a"), (2, None, "c")]
    assert dictionary_frame(spark, "conf.tiny", "clinicx").collect()[0]["item"] == "c"
    before = dictionary_version("conf.tiny", "ward")
    (conf / "tiny.csv").write_text("source,item\nclinic,z\nward,a\n,c\n")
    assert dictionary_version("conf.tiny", "ward") == before, "what another source's rows say is none of its business"
    (conf / "tiny.csv").write_text("source,item\nward,a\n,d\n")
    assert dictionary_version("conf.tiny", "ward") != before
