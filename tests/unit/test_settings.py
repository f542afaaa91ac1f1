"""Settings: which layer wins, where a value comes from, what is refused, and that no secret is ever shown."""

import os
from pathlib import Path

import pytest

from lakehouse import settings as module
from lakehouse.errors import ConfigError
from lakehouse.settings import check_keys, load_settings, origins, read_yaml

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of settings, and no EHR_* variable."""
    for name in [name for name in os.environ if name.upper().startswith("EHR_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "conf"
    folder.mkdir()
    monkeypatch.setattr(module, "CONF", folder)
    return folder


def test_each_layer_overrides_the_one_below(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().seed == 7
    (conf / "base.yml").write_text("seed: 1\n")
    assert load_settings().seed == 1
    (conf / "local.yml").write_text("seed: 2\n")
    assert load_settings().seed == 2
    monkeypatch.setenv("EHR_SEED", "3")
    assert load_settings().seed == 3
    assert load_settings(seed=4).seed == 4
    assert load_settings(seed=None).seed == 3, "an option that was not given decides nothing"


@pytest.mark.parametrize(("given", "variable", "expected"), [(None, None, 10), (None, "dev", 20), ("dev", "local", 20)])
def test_the_environment_picks_its_file(
    conf: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, variable: str | None, expected: int
) -> None:
    (conf / "local.yml").write_text("seed: 10\n")
    (conf / "dev.yml").write_text("seed: 20\n")
    if variable:
        monkeypatch.setenv("EHR_ENV", variable)
    assert load_settings(env=given).seed == expected


def test_origins_name_the_layer_in_force(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (conf / "base.yml").write_text("seed: 1\ndriver_memory: 2g\nlake: base\ncores: 3\n")
    (conf / "local.yml").write_text("lake: local\ncores: 4\n")
    monkeypatch.setenv("EHR_LAKE", "variable")
    monkeypatch.setenv("EHR_RAW", "")
    found = origins(load_settings(cores=5), cores=5, raw=None)
    assert found["cores"] == ("5", "command line")
    assert found["lake"] == ("variable", "environment")
    assert found["seed"] == ("1", "conf/base.yml")
    assert found["raw"] == ("raw", "default"), "an empty variable counts as not set"
    (conf / "local.yml").write_text("seed: 9\n")
    assert origins(load_settings())["seed"] == ("9", "conf/local.yml")


@pytest.mark.usefixtures("conf")
def test_an_unknown_variable_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHR_ENGIN", "sail")
    with pytest.raises(ConfigError, match=r"EHR_\*.* has no setting 'engin'; did you mean 'engine'\?"):
        load_settings()


@pytest.mark.parametrize("file", ["base.yml", "local.yml"])
def test_an_unknown_key_of_a_file_names_file_and_nearest(conf: Path, file: str) -> None:
    (conf / file).write_text("lakes: here\n")
    with pytest.raises(ConfigError, match=f"conf/{file} has no setting 'lakes'; did you mean 'lake'"):
        load_settings()


@pytest.mark.usefixtures("conf")
def test_a_wrong_value_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHR_ENGINE", "flink")
    with pytest.raises(ConfigError, match="engine: Input should be 'sail', 'spark' or 'databricks'"):
        load_settings()
    with pytest.raises(ConfigError, match="cores: Input should be greater than or equal to 1"):
        load_settings(engine="sail", cores=0)
    with pytest.raises(ConfigError, match="env: Input should be 'local', 'dev', 'staging' or 'prod'"):
        load_settings(engine="sail", env="test")


@pytest.mark.parametrize("variable", [None, ""])
def test_prod_refuses_to_start_without_a_key(conf: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None) -> None:
    if variable is not None:
        monkeypatch.setenv("EHR_PSEUDONYM_KEY", variable)
    with pytest.raises(ConfigError, match="prod needs EHR_PSEUDONYM_KEY"):
        load_settings(env="prod")
    (conf / "prod.yml").write_text("pseudonym_key: ''\n")
    with pytest.raises(ConfigError, match="prod needs EHR_PSEUDONYM_KEY"):
        load_settings(env="prod")
    with pytest.raises(ConfigError, match="staging needs EHR_PSEUDONYM_KEY"):
        load_settings(env="staging")
    monkeypatch.setenv("EHR_PSEUDONYM_KEY", SECRET)
    assert load_settings(env="prod").env == "prod"


@pytest.mark.usefixtures("conf")
def test_databricks_needs_catalog_and_volume() -> None:
    with pytest.raises(ConfigError, match="needs both settings catalog and volume"):
        load_settings(engine="databricks", catalog="ehr")
    assert load_settings(engine="databricks", catalog="ehr", volume="/Volumes/v").volume == "/Volumes/v"


@pytest.mark.usefixtures("conf")
@pytest.mark.parametrize("name", ["pseudonym_key", "pseudonym_key_new"])
@pytest.mark.parametrize("end", ["\0", "\udcff"])
def test_a_key_is_text_that_hmac_sees_all_of(name: str, end: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} holds a NUL or bytes that are not UTF-8, which no key may"):
        load_settings(**{name: SECRET + end})


@pytest.mark.usefixtures("conf")
def test_a_secret_is_used_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHR_PSEUDONYM_KEY", SECRET)
    monkeypatch.setenv("EHR_PHYSIONET_PASSWORD", SECRET)
    settings = load_settings()
    assert settings.pseudonym_key is not None
    assert settings.pseudonym_key.get_secret_value() == SECRET
    shown = origins(settings)
    assert shown["pseudonym_key"] == ("**********", "environment")
    assert SECRET not in f"{settings!r}{settings}{shown}{settings.model_dump_json()}"
    monkeypatch.setenv("EHR_CORES", "none")
    with pytest.raises(ConfigError) as refused:
        load_settings()
    assert SECRET not in str(refused.value)


@pytest.mark.usefixtures("conf")
def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().seed = 8


@pytest.mark.usefixtures("conf")
def test_tracking_lies_in_the_lake_unless_named(tmp_path: Path) -> None:
    assert load_settings(lake=tmp_path).tracking_uri == f"sqlite:///{tmp_path.resolve()}/mlflow/mlflow.db"
    assert load_settings(lake=tmp_path, mlflow_uri="databricks").tracking_uri == "databricks"


def test_a_broken_file_is_one_sentence(conf: Path) -> None:
    (conf / "base.yml").write_text("seed: [1\n")
    with pytest.raises(ConfigError, match=r"^conf/base.yml is not YAML: [^\n]+$"):
        load_settings()
    (conf / "base.yml").write_text("- seed\n")
    with pytest.raises(ConfigError, match=r"^conf/base.yml must hold keys and values\.$"):
        load_settings()
    (conf / "base.yml").write_text("")
    assert read_yaml(conf / "base.yml") == {}


def test_the_first_unknown_key_is_told() -> None:
    check_keys(["seed"], {"seed": 1}, "here")
    with pytest.raises(ConfigError, match="here has no setting 'sed'; did you mean 'seed'"):
        check_keys(["seed", "sed", "sod"], {"seed": 1}, "here")


@pytest.mark.parametrize("env", ["local", "dev", "staging", "prod"])
def test_the_settings_that_are_shipped_load(monkeypatch: pytest.MonkeyPatch, env: str) -> None:
    for name in [name for name in os.environ if name.startswith("EHR_")]:
        monkeypatch.delenv(name)
    settings = load_settings(env=env, pseudonym_key=SECRET)
    assert settings.engine == ("sail" if env == "local" else "databricks")
