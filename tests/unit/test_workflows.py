"""The workflows, hooks and update rules of the repository: well formed, pinned, and of commands that there are."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from jobs.cli import app
from jobs.download import sources

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@(v\d+(\.\d+)*|[0-9a-f]{40})")
PIP = (ROOT / "pyproject.toml").read_text()


def load(path: Path) -> dict[str, Any]:
    """The file; its key `on`, which YAML 1.1 takes for a truth, by that name."""
    content: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in content.items()}


JOBS = [
    pytest.param(job, id=f"{path.stem}.{name}")
    for path in WORKFLOWS
    for name, job in load(path).get("jobs", {}).items()
]
COMMANDS = [
    line.strip()
    for param in JOBS
    for step in param.values[0]["steps"]  # type: ignore[index]
    for part in step.get("run", "").splitlines()
    for line in part.split("&&")
]


def target(name: str) -> str:
    """The recipe of a target of the Makefile."""
    found = re.search(rf"^{name}:.*\n((?:\t.*\n)*)", (ROOT / "Makefile").read_text(), re.M)
    assert found, f"the Makefile has no target {name}"
    return found[1]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_says_when_it_runs_and_may_only_read(path: Path) -> None:
    workflow = load(path)
    assert path.read_text().startswith("# "), "why it is there"
    assert set(workflow) == {"name", "on", "permissions", "concurrency", "jobs"}
    assert set(workflow["on"]) <= {"push", "pull_request", "schedule", "workflow_dispatch"}
    assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("job", JOBS)
def test_a_job_ends_and_each_step_does_one_thing(job: dict[str, Any]) -> None:
    assert set(job) <= {"runs-on", "timeout-minutes", "strategy", "env", "steps"}
    assert re.fullmatch(r"ubuntu-\d\d\.\d\d", job["runs-on"])
    assert 0 < job["timeout-minutes"] <= 60
    for step in job["steps"]:
        assert set(step) <= {"name", "uses", "with", "if", "run", "working-directory"}
        assert ("run" in step) != ("uses" in step), step
        assert "run" not in step or step["run"].strip()
        assert "uses" not in step or PINNED.fullmatch(step["uses"]), step
    assert job["steps"][0]["uses"].startswith("actions/checkout@")


@pytest.mark.parametrize("pin", ["actions/checkout", "actions/checkout@main", "actions/checkout@"])
def test_an_action_that_is_not_pinned_is_found(pin: str) -> None:
    assert not PINNED.fullmatch(pin)


def test_tests_run_on_each_python_with_and_without_java() -> None:
    project = tomllib.loads(PIP)["project"]
    matrix = load(ROOT / ".github/workflows/checks.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix == {"python": ["3.11", "3.12"], "java": ["17", "none"]}
    assert project["requires-python"] == ">=3.11"


def test_steps_name_targets_verbs_and_files_that_there_are() -> None:
    made = {word for line in COMMANDS for word in re.findall(r"\bmake (\w+)", line)}
    assert made == {"audit", "check", "lock", "test", "docs", "setup", "site"}
    for name in made:
        target(name)
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    spoken = [shlex.split(line)[1:] for line in COMMANDS if re.match(r"\S*/ehr ", line)]
    assert {verb for verb, *_ in spoken} >= {"download", "generate", "run", "evaluate"}
    for verb, *rest in spoken:
        verbs[verb].make_context(verb, rest)
    fetched = {rest[0] for verb, *rest in spoken if verb == "download"}
    assert fetched == {name for name, source in sources().items() if source["access"] == "open"} & fetched
    assert len(fetched) == 3
    tested = [word for line in COMMANDS if "pytest" in line for word in line.split() if word.startswith("tests/")]
    assert tested
    assert all((ROOT / path).exists() for path in tested)


def test_the_wheel_is_built_as_the_bundle_builds_it() -> None:
    built = yaml.safe_load((ROOT / "databricks.yml").read_text())["artifacts"]["wheel"]["build"]
    assert built in COMMANDS


def test_hooks_are_the_commands_of_make_check() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    hooks = [hook["entry"] for hook in repo["hooks"]]
    assert hooks == [line.strip().replace("$(BIN)", ".venv/bin") for line in target("check").splitlines()]
    for hook in repo["hooks"]:
        assert hook["language"] == "system", "the versions are those of requirements.lock"
        assert hook["pass_filenames"] is False, "as make runs them, over the whole"


def test_updates_of_what_belongs_together_come_together() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())
    assert updates["version"] == 2
    by_ecosystem = {update["package-ecosystem"]: update for update in updates["updates"]}
    assert set(by_ecosystem) == {"github-actions", "pip"}
    project = tomllib.loads(PIP)["project"]
    declared = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.split(r"[^\w-]", one)[0] for one in declared}
    for group in by_ecosystem["pip"]["groups"].values():
        for pattern in group["patterns"]:
            assert any(re.fullmatch(pattern.replace("*", ".*"), name) for name in names), pattern
