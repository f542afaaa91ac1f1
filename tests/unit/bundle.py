"""The Databricks bundle as the CLI reads it: files merged, one target chosen, every `${...}` put in."""

import re
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
USER = {"workspace.current_user.userName": "alice@example.org", "workspace.current_user.short_name": "alice"}
TARGETS = ("dev", "staging", "prod")
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")


def merged(below: Any, above: Any) -> Any:
    """Mappings key by key; anything else is replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {
            k: merged(below[k], above[k]) if k in below and k in above else (below | above)[k] for k in below | above
        }
    return above


@cache
def files() -> dict[str, dict[str, Any]]:
    """Content of databricks.yml and of each file that it includes, by path."""
    root = yaml.safe_load((ROOT / "databricks.yml").read_text())
    paths = [path for pattern in root["include"] for path in sorted(ROOT.glob(pattern))]
    included = {str(path.relative_to(ROOT)): yaml.safe_load(path.read_text()) for path in paths}
    return {"databricks.yml": root, **included}


@dataclass
class Bundle:
    """One target of the bundle. `given` are variables as BUNDLE_VAR_* gives them."""

    target: str
    given: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config: dict[str, Any] = {}
        for content in deepcopy(files()).values():
            config = merged(config, content)
        self.variables = config["variables"]
        self.settings = config["targets"][self.target]
        self.config = merged(config, {k: v for k, v in self.settings.items() if k in ("resources", "run_as")})
        if self.settings["mode"] == "development":
            self._name_as_in_development()
        self.resources: dict[str, dict[str, Any]] = self.resolve(self.config["resources"])

    def _name_as_in_development(self) -> None:
        """Development mode puts `dev_<user>_` before names in Unity Catalog, where brackets are not allowed."""
        for kind in ("schemas", "registered_models"):
            for resource in self.config["resources"][kind].values():
                resource["name"] = f"dev_{USER['workspace.current_user.short_name']}_{resource['name']}"

    def resolve(self, value: Any) -> Any:
        """The value with every reference replaced; KeyError for one that leads nowhere."""
        if isinstance(value, dict):
            return {k: self.resolve(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.resolve(v) for v in value]
        if not isinstance(value, str):
            return value
        if whole := _REFERENCE.fullmatch(value):
            return self.look_up(whole[1])
        return _REFERENCE.sub(lambda match: str(self.look_up(match[1])), value)

    def look_up(self, name: str) -> Any:
        """What a reference stands for; the id that only a workspace knows is the resource's place among its kind."""
        if name.startswith("var."):
            return self.variable(name.removeprefix("var."))
        if name.startswith("resources."):
            _, kind, key, attribute = name.split(".")
            resource = self.config["resources"][kind][key]
            return (
                list(self.config["resources"][kind]).index(key)
                if attribute == "id"
                else self.resolve(resource[attribute])
            )
        return {**USER, "bundle.target": self.target, "bundle.name": self.config["bundle"]["name"]}[name]

    def variable(self, name: str) -> Any:
        declared = self.variables[name]
        value = self.given.get(name, self.settings.get("variables", {}).get(name, declared.get("default")))
        if value is None and "lookup" in declared:
            value = declared
        if value is None:
            raise KeyError(f"variable {name} has no value in {self.target}")
        if isinstance(value, dict) and "lookup" in value:
            ((kind, called),) = value["lookup"].items()
            return f"<{kind} {called}>"
        return self.resolve(value)


def references(value: Any) -> set[str]:
    """Every reference in a value, `${` and `}` left off."""
    if isinstance(value, dict):
        return set().union(*(references(v) for v in value.values()), set())
    if isinstance(value, list):
        return set().union(*(references(v) for v in value), set())
    return set(_REFERENCE.findall(value)) if isinstance(value, str) else set()


def bundle(target: str) -> Bundle:
    """The target, given what it asks of its deployer."""
    return Bundle(target, {} if target == "dev" else {"alert_address": "oncall@example.org"})
