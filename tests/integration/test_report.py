"""The report and the card of a generated lake: every figure is there, it is one file, and it names nobody."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from jobs.context import Context
from jobs.evaluate import registered
from jobs.evaluation.figures import shown
from jobs.evaluation.judging import measure
from jobs.reconcile import accounts
from jobs.report import over_time
from jobs.report.card import card
from jobs.report.html import percent
from jobs.report.write import report
from jobs.train import train
from jobs.training.registry import open_registry
from lakehouse import tasks
from lakehouse.errors import ConfigError, ContractError, ModelError
from lakehouse.io import Lake
from lakehouse.settings import CONF, load_settings
from lakehouse.tasks import load_task
from models.bootstrap import Interval
from tests.conftest import ENGINE

FIGURES = {
    "completeness", "comparison", "discrimination", "calibration", "decision", "subgroups", "drivers", "example",
}  # fmt: skip
VOID = {"meta", "br", "link", "img"}


def context_of(lake: Path) -> Context:
    return Context.of(load_settings(lake=lake, engine=ENGINE, cores=2), Console(file=StringIO(), width=200))


class Page(HTMLParser):
    """What a browser would see of a page; refuses tags that are closed in another order than they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.tags: Counter[str] = Counter()
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        found = [(name, value or "") for name, value in attrs]
        self.ids += [value for name, value in found if name == "id"]
        self.attributes += found
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text.append(data)


@pytest.fixture(scope="module")
def lake(featurized_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lake with the quickest of the question's models."""
    root = tmp_path_factory.mktemp("reported")
    question = yaml.safe_load((CONF / "tasks" / "mortality.yml").read_text())
    question["models"] = {"logistic": {"search": {"C": [0.001], "l1_ratio": [0.0]}}}
    (root / "tasks").mkdir()
    (root / "tasks" / "mortality.yml").write_text(yaml.safe_dump(question))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "CONF", root)
        copy = shutil.copytree(featurized_lake, root / "lake")
        train(context_of(copy), "mortality")
        yield copy


@pytest.fixture(scope="module")
def told(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("pages") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(over_time, "PARTS", (0.5,))  # each hour is another build of all features
        report(context_of(lake), "mortality", out)
    return out.read_text()


@pytest.fixture(scope="module")
def page(told: str) -> Page:
    return Page(told)


def test_every_figure_is_there_and_every_link_leads_somewhere(page: Page) -> None:
    figures = {one.removeprefix("figure-") for one in page.ids if one.startswith("figure-")}
    assert figures == FIGURES and page.tags["figure"] == page.tags["svg"] == page.tags["figcaption"] == len(FIGURES)
    assert len(set(page.ids)) == len(page.ids)
    links = {value for name, value in page.attributes if name in ("href", "xlink:href")}
    assert len(links) > 10 and links <= {f"#{one}" for one in page.ids}


def test_it_is_one_file_that_loads_nothing(told: str, page: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    names = {name for name, value in page.attributes if re.search(r"https?://|^//|file:", value)}
    assert names <= {"xmlns", "xmlns:xlink"}
    assert set(re.findall(r"url\((.)", told)) <= {"#"} and "@import" not in told
    assert len(told) < 3_000_000


def test_nobody_is_named(lake: Path, told: str, page: Page) -> None:
    stays = Lake(lake).records("silver.stays")
    people = {row[key] for row in stays for key in ("patient_id", "stay_id", "admission_id")}
    assert len(people) > 100
    assert not {one for one in people if one in told}
    words = set(re.findall(r"\w+", " ".join([*page.text, *(value for _, value in page.attributes)])))
    bare = {one.rpartition("-")[2] for one in people}
    assert not {one for one in bare if len(one) >= 5 and one in words}
    assert re.search(r"called example-[0-9a-f]{6} here", told)


def test_figures_are_those_of_the_evaluation(lake: Path, told: str) -> None:
    context = context_of(lake)
    (part,) = registered(context, load_task("mortality"))
    found = measure(part, context.settings.seed)
    for model, figures in found.figures.items():
        for metric in ("auroc", "auprc", "log_loss", "event1", "sensitivity"):
            assert f">{shown(figures[metric])}</td>" in told, (model, metric)
    less = found.differences["saps_i"]["auroc"]
    assert f">{shown(less, signed=True)}</td>" in told
    assert f"{part.n} held-out stays, {part.events} with in-hospital death" in told


def test_the_risk_over_time_ends_where_the_figures_are(lake: Path, told: str) -> None:
    """Asked at the window's end, the model says of the same stays what it is judged by."""
    context = context_of(lake)
    (part,) = registered(context, load_task("mortality"))
    found = measure(part, context.settings.seed)
    section = told[told.index('<section id="example">') :]
    cells = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr.*?</tr>", section)]
    worth = {row[0]: row for row in cells if row and row[0] in ("24", "48")}
    assert list(worth) == ["24", "48"]
    for place, metric in ((1, "auroc"), (2, "auprc")):
        value = shown(found.figures[part.reference][metric]).split(" ")[0]
        assert worth["48"][place].split(" ")[0] == value, "the sample is all of these stays"
    risks = part.of(part.reference).risks
    assert worth["48"][5] == percent(risks.mean()) != worth["24"][5]
    *drawn, heading = re.findall(r">(\d+)%</text>", section)
    assert heading in drawn, "the last hour's risk is the one that stands at the top"


def test_counts_are_those_of_the_tables(lake: Path, told: str) -> None:
    cohort = Lake(lake).records("gold.mortality_cohort")
    by_split = [sum(row["split"] == split for row in cohort) for split in ("train", "test", "external")]
    cells = "".join(f'<td class="n">{n}</td>' for n in by_split)
    assert f"<td>stays</td>{cells}" in told.replace(' class=""', "")
    assert f"<b>{len(cohort)}</b><span>stays of the mortality cohort</span>" in told
    refused = Counter[tuple[str, str]]()
    for account in accounts(context_of(lake)):
        for (outcome, reason), rows in account.reasons.items():
            if outcome == "quarantined":
                refused[account.node.split("[")[0], reason] += rows
    assert refused
    for (name, rule), rows in refused.items():
        assert f'<td>{name}</td><td>{rule}</td><td class="n">{rows:,}</td>' in told


def test_a_stay_may_be_asked_for_or_left_out(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.report.plots.svg", lambda _figure: "<svg></svg>")  # once is enough to wait for them
    out = tmp_path / "page.html"
    report(context_of(lake), "mortality", out, example=False)
    assert set(Page(out.read_text()).ids) >= {"figure-drivers"} and "figure-example" not in out.read_text()
    with pytest.raises(ConfigError, match="has no stay nobody"):
        report(context_of(lake), "mortality", out, stay="nobody")
    with pytest.raises(ConfigError, match=r"must end in \.html"):
        report(context_of(lake), "mortality", tmp_path / "page.pdf")


def test_what_is_not_there_yet_is_said(refined_lake: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no table yet"):
        report(context_of(tmp_path / "empty"), "mortality", tmp_path / "page.html")
    copy = shutil.copytree(refined_lake, tmp_path / "lake")
    report(context_of(copy), "mortality", tmp_path / "page.html")
    told = (tmp_path / "page.html").read_text()
    assert "gold.mortality_cohort has no rows" in told and 'id="quality"' in told and 'id="models"' not in told


def test_a_card_tells_what_the_run_kept(lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "card.md"
    card(context_of(lake), "mortality", "champion", out)
    told = out.read_text()
    capsys.readouterr()
    card(context_of(lake), "mortality", "1", None)
    assert capsys.readouterr().out == told
    assert told.startswith("# Logistic regression v1: in-hospital death, first 48 h\n")
    headings = re.findall(r"^## (.*)$", told, re.M)
    assert headings == ["The model", "Intended use", "Data", "Figures", "Subgroups", "Limits"]
    version = open_registry(context_of(lake), load_task("mortality")).find("mortality", "1")
    auroc, low, high = (version.figures[f"test_auroc{end}"] for end in ("", "_low", "_high"))
    assert f"| AUROC | {shown(Interval(auroc, low, high))} |" in told
    features = Lake(lake).version("gold.mortality_features")
    assert f"| `gold.mortality_features` | {features} |" in told
    assert "| sex: woman | " in told and "Not for:" in told and "Trained on 30 patients" in told
    people = {row[key] for row in Lake(lake).records("silver.stays") for key in ("patient_id", "stay_id")}
    assert not {one for one in people if one in told}
    with pytest.raises(ModelError, match="no model 'mortality' 9"):
        card(context_of(lake), "mortality", "9", None)
