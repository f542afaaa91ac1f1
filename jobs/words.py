"""Codes of the tables as a reader would call them."""

WORDS = {
    "gender": "sex", "icu_type": "kind of ICU", "F": "woman", "M": "man", "CCU": "coronary care",
    "CSRU": "cardiac surgery recovery", "MICU": "medical ICU", "SICU": "surgical ICU",
    "in_hospital_death": "in-hospital death",
}  # fmt: skip


def words(code: str) -> str:
    """A column or a value of the tables as a reader would call it."""
    return WORDS.get(code, code.replace("_", " "))
