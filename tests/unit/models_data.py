"""Made-up stays with a learnable risk, for the tests of models."""

import numpy as np
import pandas as pd


def made_up_stays(n: int = 400, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Features (n, 9) of every kind, with missing values and outliers, and labels (n,) that depend on them."""
    rng = np.random.default_rng(seed)
    lactate, gcs, age = rng.lognormal(0.7, 0.6, n), rng.integers(3, 16, n).astype(float), rng.uniform(18, 90, n)
    ventilated = (rng.random(n) < 0.5).astype(float)
    ward = rng.choice(["medical", "surgical", "cardiac"], n)
    logit = 0.8 * (lactate - 2) - 0.35 * (gcs - 11) + 0.03 * (age - 65) + 0.5 * ventilated - 0.7
    logit += np.where(ward == "cardiac", -0.8, 0)
    frame = pd.DataFrame(
        {
            "lactate_max": np.where(rng.random(n) < 0.3, np.nan, lactate),
            "gcs_min": gcs,
            "age": age,
            "mech_vent_any": ventilated,
            "sodium_mean": rng.normal(140, 4, n),
            "platelets_last": np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(5, 0.5, n)),
            "ward": ward,
            "icu_type": rng.integers(1, 5, n).astype(float),
            "acuity": rng.choice(["low", "middle", "high"], n),
        },
        index=pd.Index([f"stay-{i:04}" for i in range(n)], name="stay_id"),
    )
    return frame, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)


CATEGORIES = {"nominal": ["ward", "icu_type"], "ordered": {"acuity": ["low", "middle", "high"]}}
