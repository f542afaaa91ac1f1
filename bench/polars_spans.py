"""The rival's window: the hours of it that columns look at, and what is told of the values in them."""

WINDOW_HOURS = 48
SPANS = {"": None, "_first_24h": (0, 24), "_last_24h": (24, 48), "_last_12h": (36, 48), "_last_6h": (42, 48)}
"""Suffix of a column to the hours it looks at; the first begin at 0, the last begin after their first minute."""
STATISTICS = ("count", "mean", "std", "min", "max", "slope", "sum")
