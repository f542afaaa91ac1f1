"""docs/add-a-source.md does what it says, in a copy of the project and beside a source that was there before."""

import shutil
from pathlib import Path

import pytest
from pages import Project

from lakehouse.io import Lake

OTHERS = "challenge2012"


@pytest.fixture(scope="module")
def project(warm_ehr: Path, generated_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.of(tmp_path_factory.mktemp("source"), "add-a-source.md", warm_ehr)
    shutil.copytree(generated_raw / "challenge-2012", project.root / "raw" / "challenge-2012")
    for stage in (["ingest", "--raw", "raw"], ["refine"]):
        project.ehr(*stage, "--lake", "lake")
    return project


def test_the_page_does_what_it_says(project: Project) -> None:
    lake = Lake(project.root / "lake")
    before = {name: lake.read_arrow(name) for name in lake.names() if name.startswith("silver.")}
    written = project.write_files()
    assert [path for path in written if not path.startswith("raw/")] == [
        "bronze/clinicx.py", "silver/sources/clinicx.py", "conf/concept_sources.csv",
    ]  # fmt: skip
    for command in project.commands():
        project.ehr(*command)
    shown = project.prints()
    assert len(shown) == 2
    for command, expected in shown:
        assert project.ehr(*command) == expected

    whole = project.ehr("ingest", "--raw", "raw", "--lake", "lake") + project.ehr("refine", "--lake", "lake")
    assert "no new or changed file: nothing was read" in whole
    assert "every silver table is up to date: nothing was built" in whole, "neither the old source nor the new one"
    for name, rows in before.items():
        if name.endswith("_quarantine") or "source" not in rows.column_names:
            continue
        now = lake.read_arrow(name)
        others = [row for row in now.to_pylist() if row["source"] == OTHERS]
        assert sorted(map(repr, others)) == sorted(map(repr, rows.to_pylist())), name


def test_the_stays_of_a_new_source_reach_gold(project: Project) -> None:
    project.ehr("featurize", "--lake", "lake", "--only", "mortality_cohort")
    rows = Lake(project.root / "lake").records("gold.mortality_cohort")
    found = sorted((r["stay_id"], r["split"], r["in_hospital_death"]) for r in rows if r["source"] == "clinicx")
    assert found == [("clinicx-1", "external", 0), ("clinicx-3", "external", 1)]


def test_a_patient_of_the_new_source_can_be_forgotten(project: Project) -> None:
    lake = Lake(project.root / "lake")
    tables = [name for name in lake.names() if name.startswith("bronze.clinicx")]
    assert {row["person"] for name in tables for row in lake.records(name)} == {71, 72, 79}
    project.ehr("forget", "clinicx-72", "--lake", "lake")
    assert {row["person"] for name in tables for row in lake.records(name)} == {71, 79}
    assert {r["patient_id"] for r in lake.records("silver.patients") if r["source"] == "clinicx"} == {"clinicx-71"}
