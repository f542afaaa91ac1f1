"""The gate in front of the champion's place, and the history of who held it.

A challenger must be not worse than the champion on rows that neither has seen, and its risks must be true. Three
figures are compared, on the same bootstrap resamples of patients. Log loss is a proper score, which sees ranking and
calibration both and varies least from one test set to the next; AUROC and AUPRC see to it that ranking is not traded
for calibration. Not worse means: no 95 % interval lies wholly on the worse side, and AUROC and AUPRC together have
lost no more than a margin, without which a row of trainings, each worse within noise, would walk downhill. Of equals
the newer model wins: it has seen the newer rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from models.bootstrap import Interval

BETTER_IS = {"log_loss": -1, "auroc": 1, "auprc": 1}
"""Figures that are compared, and which sign of a difference is the better one."""
MARGIN = 0.01
"""What AUROC and AUPRC together may lose by their point estimates."""
SLOPE = (0.9, 1.1)
"""Where the calibration slope's interval must reach: risks neither too extreme nor too timid (Van Calster et al.,
BMC Medicine 2019;17:230)."""
INTERCEPT = (-0.2, 0.2)
"""The same for calibration in the large: odds wrong by a fifth over all patients."""
FEWEST = 20
"""Held-out rows with, and as many without, the outcome: of fewer, calibration is told but decides nothing, and a
comparison on what is left of the held-out rows is none."""

Verdict = Literal["promoted", "refused", "not judged"]
How = Literal["gate", "person", "rollback", "before"]


@dataclass(frozen=True)
class Decision:
    """What the gate says, why, and by which figures."""

    verdict: Verdict
    reasons: tuple[str, ...]
    figures: dict[str, Interval] = field(default_factory=dict)

    @property
    def promoted(self) -> bool:
        return self.verdict == "promoted"

    @property
    def reason(self) -> str:
        return "; ".join(self.reasons)


def judge(
    labels: ArrayLike, figures: Mapping[str, Interval], differences: Mapping[str, Interval] | None, against: str
) -> Decision:
    """The decision on a challenger with these held-out `figures` of rows with these `labels` (n,).

    `differences` are those of `bootstrap.paired_differences`, challenger minus champion; None where no champion can
    serve. `against` says in words what the challenger is compared with. Where nothing can serve, even a model whose
    calibration does not hold is better than none: it is promoted, and the reason says so.
    """
    calibrated, calibration = _calibration(figures)
    if not calibrated and not enough(labels):
        calibrated, calibration = True, [*calibration, f"too few rows to refuse it by that: fewer than {FEWEST} a side"]
    if differences is None:
        alone = () if calibrated else ("promoted all the same, for nothing else can serve",)
        return Decision("promoted", (against, *calibration, *alone))
    worse = [name for name, sign in BETTER_IS.items() if _worse(differences[name], sign)]
    lost = -(differences["auroc"].value + differences["auprc"].value)
    kept = {f"difference_{name}": differences[name] for name in BETTER_IS}
    compared = ", ".join(f"{_named(name)} {_shown(differences[name], '+.4f')}" for name in BETTER_IS)
    reasons = [f"{against}: {compared}"]
    reasons += [f"{_named(name)} is worse beyond chance" for name in worse]
    if not worse and lost > MARGIN:
        reasons.append(f"AUROC and AUPRC together are worse by {lost:.4f}, more than {MARGIN}")
    good = not worse and lost <= MARGIN
    if good:
        reasons.append("not worse")
    return Decision("promoted" if good and calibrated else "refused", (*reasons, *calibration), kept)


def not_judged(reason: str) -> Decision:
    """There is no fair comparison: the champion stays until a person decides."""
    return Decision("not judged", (reason,))


def enough(labels: ArrayLike) -> bool:
    """Whether rows with these labels, 0 and 1, tell anything by themselves."""
    y = np.asarray(labels)
    return min(int((y == 1).sum()), int((y == 0).sum())) >= FEWEST


def _worse(difference: Interval, sign: int) -> bool:
    """Whether the whole interval lies on the worse side; an interval that is not known says nothing."""
    return difference.high < 0 if sign > 0 else difference.low > 0


def _calibration(figures: Mapping[str, Interval]) -> tuple[bool, list[str]]:
    """Whether both intervals reach the place where they should be; a few rows give wide ones, which do."""
    held, said = True, []
    for name, (low, high) in (("calibration_slope", SLOPE), ("calibration_intercept", INTERCEPT)):
        figure = figures[name]
        known = np.isfinite(figure.low) and np.isfinite(figure.high)
        reaches = not known or (figure.low <= high and figure.high >= low)
        held &= bool(reaches)
        wide = known and reaches and (figure.low < low or figure.high > high)
        word = "cannot be told" if not known else "holds" if reaches else f"does not hold, want {low} to {high}"
        said.append(f"{_named(name)} {_shown(figure, '.2f')} {word}{', though the interval is wide' * bool(wide)}")
    return held, said


def _named(name: str) -> str:
    return name.upper() if name in ("auroc", "auprc") else name.replace("_", " ")


def _shown(figure: Interval, form: str) -> str:
    return f"{figure.value:{form}} ({figure.low:{form}} to {figure.high:{form}})"


@dataclass(frozen=True)
class Appointment:
    """How a version came to be champion: by the gate, by a person, by going back; `before` any of it was recorded."""

    version: int
    how: How
    by: str
    at: str
    reason: str


def line_of(history: Iterable[Appointment]) -> list[int]:
    """The champions that one can go back through, the present one last: going back takes the last one off."""
    line: list[int] = []
    for one in history:
        if one.how == "rollback":
            line.pop()
        elif line[-1:] != [one.version]:
            line.append(one.version)
    return line
