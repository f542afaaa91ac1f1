"""The Databricks bundle, without a workspace: its resources are well formed, lead somewhere and suit the tables."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from databricks.bundles.alerts import Alert
from databricks.bundles.core import Resource
from databricks.bundles.dashboards import Dashboard
from databricks.bundles.experiments import MlflowExperiment
from databricks.bundles.jobs import Job
from databricks.bundles.registered_models import RegisteredModel
from databricks.bundles.schemas import Schema
from databricks.bundles.volumes import Volume

from gold.mortality.predictions import TABLES as WRITTEN_BY_SCORE
from jobs.cli import app
from jobs.training.fitting import kind_of
from lakehouse.code import LAYERS
from lakehouse.registry import registry
from lakehouse.settings import PREFIX, load_settings
from lakehouse.tasks import load_task
from tests.unit.bundle import ROOT, TARGETS, Bundle, bundle, files, references

KINDS: dict[str, type[Resource]] = {
    "alerts": Alert,
    "dashboards": Dashboard,
    "experiments": MlflowExperiment,
    "jobs": Job,
    "registered_models": RegisteredModel,
    "schemas": Schema,
    "volumes": Volume,
}
QUARTZ = re.compile(r"(\d+ ){2}(\d+|\*) (\?|\*|\d+) (\*|\d+) (\?|\*|[A-Z]{3})")


def tasks(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {task["task_key"]: task for task in job["tasks"]}


def wheel_tasks(found: Bundle) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Job, key and task of everything that runs our wheel."""
    for name, job in found.resources["jobs"].items():
        yield from ((name, key, task) for key, task in tasks(job).items() if "python_wheel_task" in task)


def parsed(parameters: list[str]) -> typer.Context:
    """What the real command line makes of a task's parameters; nothing is run."""
    verb, *rest = parameters
    return typer.main.get_command(app).commands[verb].make_context(verb, rest)  # type: ignore[attr-defined]


def test_the_root_stays_short_and_each_file_holds_one_resource() -> None:
    assert len((ROOT / "databricks.yml").read_text().splitlines()) < 40
    for path, content in files().items():
        held = [(kind, key) for kind, found in content.get("resources", {}).items() for key in found]
        assert len(held) == (0 if path in ("databricks.yml", "conf/resources/settings.yml") else 1), path
        comment = (ROOT / path).read_text().startswith("#")
        assert comment, f"{path} says nothing of itself"


def test_no_two_resources_have_one_key() -> None:
    """The CLI refuses it, even of two kinds."""
    keys = [key for content in files().values() for found in content.get("resources", {}).values() for key in found]
    assert sorted(keys) == sorted(set(keys))


@pytest.mark.parametrize("target", TARGETS)
def test_every_resource_parses_by_the_typed_model(target: str) -> None:
    found = bundle(target).resources
    assert set(found) == set(KINDS)
    for kind, resources in found.items():
        for key, resource in resources.items():
            model = KINDS[kind].from_dict(resource)  # type: ignore[attr-defined]
            assert model.as_dict() == resource, f"{kind}.{key}"


def test_the_typed_model_refuses_what_is_wrong() -> None:
    medallion = bundle("prod").resources["jobs"]["medallion"]
    for wrong in ({"retries": 1}, {"max_concurrent_runs": "one"}, {"tasks": [{"run_if": "ALL_DONE"}]}):
        with pytest.raises((ValueError, TypeError)):
            Job.from_dict({**medallion, **wrong})  # type: ignore[typeddict-item]


@pytest.mark.parametrize("target", TARGETS)
def test_every_reference_resolves(target: str) -> None:
    found = bundle(target)
    assert references(found.config["resources"]) >= {"var.catalog", "resources.jobs.medallion.id", "var.settings"}
    assert not references(found.resources)
    assert not references(found.resolve(found.settings))
    for wrong in ("${var.catalogue}", "${resources.jobs.medalion.id}", "${bundle.nam}"):
        with pytest.raises(KeyError):
            found.resolve(wrong)


def test_no_variable_is_idle() -> None:
    used = {name.removeprefix("var.") for content in files().values() for name in references(content)}
    assert set(bundle("prod").variables) <= used


@pytest.mark.parametrize("target", TARGETS)
def test_the_command_line_knows_every_task(target: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = list(wheel_tasks(bundle(target)))
    assert {verb for _, _, task in found for verb in task["python_wheel_task"]["parameters"][:1]} >= {"ingest", "score"}
    for job, key, task in found:
        wheel = task["python_wheel_task"]
        assert wheel["package_name"] == project["name"].replace("-", "_")
        assert project["scripts"][wheel["entry_point"]] == "jobs.cli:main"
        assert parsed(wheel["parameters"]).info_name == wheel["parameters"][0], f"{job}.{key}"
        assert task["libraries"] == [{"whl": "../../dist/*.whl"}]


def test_the_command_line_refuses_what_it_does_not_know() -> None:
    for wrong in (["refine", "--layer", "gold"], ["refine", "twice"], ["generate"]):
        with pytest.raises(Exception, match=r"No such option|unexpected extra argument|Missing parameter"):
            parsed(wrong)
    with pytest.raises(KeyError):
        parsed(["polish"])


def test_the_wheel_brings_no_second_spark() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = {re.split(r"[^\w-]", dependency)[0] for dependency in project["dependencies"]}
    assert brought.isdisjoint({"pyspark", "delta-spark", "pysail", "databricks-connect"})
    assert any(d.startswith("pyspark") for d in project["optional-dependencies"]["spark"])


def unmet(job: dict[str, Any]) -> set[str]:
    """Tables that a task reads and another task of the job makes, without the one waiting for the other."""
    of = registry()
    nodes = {"refine": of.layer("silver"), "featurize": of.layer("gold"), "score": of.after_scoring()}
    makes = {verb: {node.table.name for node in built} for verb, built in nodes.items()}
    reads = {verb: {name for node in built for name in node.table_inputs} for verb, built in nodes.items()}
    makes["ingest"] = {table.name for table in of.raw_tables()}
    makes["score"] |= {table.name for table in WRITTEN_BY_SCORE}
    reads["score"] |= makes["featurize"]
    reads["sql"] = {"gold.mortality_predictions"}
    verbs = {key: task["python_wheel_task"]["parameters"][0] for key, task in tasks(job).items()}
    before: dict[str, set[str]] = {}

    def ancestors(key: str) -> set[str]:
        if key not in before:
            named = {d["task_key"] for d in tasks(job)[key].get("depends_on", [])}
            before[key] = named.union(*(ancestors(name) for name in named)) if named else set()
        return before[key]

    return {
        f"{reader} reads {table} of {maker}"
        for reader in verbs
        for maker in verbs.keys() - {reader} - ancestors(reader)
        for table in reads.get(verbs[reader], set()) & makes.get(verbs[maker], set())
    }


def test_tasks_wait_for_the_tables_that_they_read() -> None:
    medallion = bundle("prod").resources["jobs"]["medallion"]
    assert list(tasks(medallion)) == ["ingest", "refine", "featurize", "score", "share"]
    assert unmet(medallion) == set()
    for key in ("refine", "featurize", "score", "share"):
        cut = [task | ({"depends_on": []} if task["task_key"] == key else {}) for task in medallion["tasks"]]
        assert {one.split()[0] for one in unmet({**medallion, "tasks": cut})} >= {key}, f"{key} waits for nothing"


def test_training_hands_one_folder_from_export_to_gate() -> None:
    training = bundle("prod").resources["jobs"]["training"]
    told = {key: parsed(task["python_wheel_task"]["parameters"]).params for key, task in tasks(training).items()}
    (folder,) = {str(told["export"]["out"]), str(told["tabular"]["source"]), str(told["sequences"]["source"])} | {
        str(told["register"]["folder"])
    }
    assert folder.startswith("/Volumes/ehr/ops/staging/") and folder.endswith("{{job.run_id}}"), "a run, a folder"
    after = {key: {d["task_key"] for d in task.get("depends_on", [])} for key, task in tasks(training).items()}
    assert after == {
        "export": set(),
        "tabular": {"export"},
        "sequences": {"export"},
        "register": {"tabular", "sequences"},
        "evaluate": {"register"},
    }
    clusters = {c["job_cluster_key"]: c["new_cluster"] for c in training["job_clusters"]}
    on = {key: clusters[task["job_cluster_key"]] for key, task in tasks(training).items()}
    assert {key for key, cluster in on.items() if "-gpu-" in cluster["spark_version"]} == {"sequences"}
    kinds = {key: {kind_of(*one) for one in load_task("mortality", told[key]["preset"] or "default").models.items()}
             for key in ("tabular", "sequences")}  # fmt: skip
    assert kinds["sequences"] - kinds["tabular"] == {"sequence"}
    assert tasks(training)["register"]["run_if"] == "AT_LEAST_ONE_SUCCESS", "no GPU to be had: the tabular models come"


def test_a_training_is_spread_where_a_target_says_so() -> None:
    several: dict[str, Any] = {
        "train_engine": "spark", "training_workers": 4, "training_conf": {}, "training_tags": {}
    }  # fmt: skip
    nothing: dict[str, Any] = {}
    for given, engine, workers in ((nothing, "local", 0), (several, "spark", 4)):
        training = Bundle("prod", {"alert_address": "oncall@example.org", **given}).resources["jobs"]["training"]
        told = [parsed(tasks(training)[key]["python_wheel_task"]["parameters"]) for key in ("tabular", "sequences")]
        assert [one.params["train_engine"] for one in told] == [engine] * 2
        assert load_settings(train_engine=engine).train_engine == engine
        for cluster in (one["new_cluster"] for one in training["job_clusters"]):
            assert cluster["num_workers"] == workers
            assert ("spark.databricks.cluster.profile" in cluster["spark_conf"]) == (workers == 0)
            assert cluster["data_security_mode"] == "SINGLE_USER", "a session of the driver's own"


@pytest.mark.parametrize("target", TARGETS)
def test_jobs_run_one_at_a_time_end_and_tell(target: str) -> None:
    found = bundle(target)
    for name, job in found.resources["jobs"].items():
        assert job["max_concurrent_runs"] == 1, name
        assert job["queue"] == {"enabled": True}, name
        assert job["timeout_seconds"] > 0, name
        assert job["email_notifications"]["on_failure"] == [found.variable("alert_address")], name
        known = {cluster["job_cluster_key"] for cluster in job.get("job_clusters", [])}
        for key, task in tasks(job).items():
            assert {d["task_key"] for d in task.get("depends_on", [])} <= set(tasks(job)), f"{name}.{key}"
            if "python_wheel_task" in task:
                assert task["job_cluster_key"] in known, f"{name}.{key}"
                assert 0 < task["timeout_seconds"] <= job["timeout_seconds"], f"{name}.{key}"
        for cluster in job.get("job_clusters", []):
            assert cluster["new_cluster"]["spark_env_vars"] == found.variable("settings")
        for when in filter(None, (job.get("schedule"),)):
            assert QUARTZ.fullmatch(when["quartz_cron_expression"]), name


def test_maintenance_checks_even_what_could_not_be_maintained() -> None:
    maintenance = tasks(bundle("prod").resources["jobs"]["maintenance"])
    assert [task["python_wheel_task"]["parameters"][0] for task in maintenance.values()] == ["maintain", "sql", "check"]
    assert maintenance["check"]["run_if"] == "ALL_DONE"
    assert maintenance["statistics"]["python_wheel_task"]["parameters"][1].startswith("ANALYZE TABLES IN `ehr`.`gold`")


def test_medallion_starts_by_files_and_by_the_clock() -> None:
    found = bundle("prod")
    jobs = found.resources["jobs"]
    assert "schedule" not in jobs["medallion"], "a job has one trigger"
    assert jobs["medallion"]["trigger"]["file_arrival"]["url"] == f"{found.variable('settings')['EHR_RAW']}/"
    assert tasks(jobs["nightly"])["medallion"]["run_job_task"]["job_id"] == list(jobs).index("medallion")
    assert jobs["nightly"]["schedule"]["timezone_id"] == "UTC"
    assert jobs["nightly"]["timeout_seconds"] > jobs["medallion"]["timeout_seconds"]
    retried = {key: task["max_retries"] for key, task in tasks(jobs["medallion"]).items()}
    assert all(retried.values())


@pytest.mark.parametrize("target", TARGETS)
def test_clusters_are_told_settings_that_load_and_name_what_is_deployed(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bundle(target)
    told = found.variable("settings")
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))
    assert f"{PREFIX}PSEUDONYM_KEY" not in told, "a variable of a cluster is no place for a secret"
    monkeypatch.setenv(f"{PREFIX}PSEUDONYM_KEY", "what the secret scope holds")
    settings = load_settings()
    resources = found.resources
    assert (settings.env, settings.engine, settings.catalog) == (target, "databricks", found.variable("catalog"))
    schemas = resources["schemas"]
    assert {settings.name_prefix + layer for layer in (*LAYERS, "ops", "raw")} == {s["name"] for s in schemas.values()}
    paths = {key: "/Volumes/{catalog_name}/{schema_name}/{name}".format(**v) for key, v in resources["volumes"].items()}
    assert (str(settings.raw), settings.volume) == (paths["files"], paths["staging"])
    model = resources["registered_models"]["mortality_model"]
    assert settings.model_name("mortality") == "{catalog_name}.{schema_name}.{name}".format(**model)
    assert settings.registry_uri == "databricks-uc"
    assert settings.experiment == resources["experiments"]["trainings"]["name"]


def test_dev_is_its_deployers_own() -> None:
    found = bundle("dev")
    assert found.settings["default"] is True
    assert {found.variable(who) for who in ("pipeline", "engineers", "analysts", "alert_address")} == {
        "alice@example.org"
    }
    assert found.variable("secret_scope") == ""
    assert {schema["name"] for schema in found.resources["schemas"].values()} == {
        f"dev_alice_{layer}" for layer in (*LAYERS, "ops", "raw")
    }


@pytest.mark.parametrize("target", ["staging", "prod"])
def test_what_production_needs_is_set(target: str) -> None:
    with pytest.raises(KeyError, match="alert_address has no value"):
        _ = Bundle(target).resources
    found = bundle(target)
    principal = found.variable("pipeline")
    assert principal == f"<service_principal ehr-{target}>"
    settings = found.resolve(found.settings)
    assert settings["mode"] == "production"
    assert settings["run_as"] == {"service_principal_name": principal}
    assert principal in settings["workspace"]["root_path"], "nobody else writes there"
    assert {p["level"] for p in settings["permissions"] if p.get("service_principal_name") == principal} == {
        "CAN_MANAGE"
    }
    assert {p["level"] for p in settings["permissions"] if p.get("group_name") == "ehr-engineers"} == {"CAN_RUN"}
    assert found.variable("secret_scope") == "ehr"
    readers = found.resources["dashboards"]["lakehouse"]["permissions"]
    assert {(p["group_name"], p["level"]) for p in readers} == {
        ("ehr-analysts", "CAN_READ"),
        ("ehr-engineers", "CAN_READ"),
    }
    assert len({bundle(t).variable("catalog") for t in TARGETS}) == len(TARGETS), "no two targets share a catalog"


def test_grants_are_the_least_that_each_needs() -> None:
    found = bundle("prod")
    granted = {
        (key, grant["principal"]): set(grant["privileges"])
        for kind in ("schemas", "volumes", "registered_models")
        for key, resource in found.resources[kind].items()
        for grant in resource.get("grants", [])
    }
    pipeline, engineers, analysts = (found.variable(who) for who in ("pipeline", "engineers", "analysts"))
    assert {key for key, who in granted if who == analysts} == {"gold", "ops"}
    assert granted["gold", analysts] == {"USE_SCHEMA"}, "a table at a time: see the task share"
    assert {key for key, who in granted if who == engineers} == {"ops"}
    assert granted["ops", engineers] == granted["ops", analysts] == {"USE_SCHEMA", "SELECT"}
    assert granted["files", pipeline] == {"READ_VOLUME"}, "raw files are read, never written"
    assert {who for _, who in granted} == {pipeline, engineers, analysts}
    everything = set().union(*granted.values())
    assert everything.isdisjoint({"ALL_PRIVILEGES", "MANAGE", "CREATE_SCHEMA", "READ_FILES", "WRITE_FILES"})
    share = tasks(found.resources["jobs"]["medallion"])["share"]["python_wheel_task"]["parameters"]
    assert share[1] == f"GRANT SELECT ON TABLE gold.mortality_predictions TO `{analysts}`"
