"""Every kind of risk model that can be stored and loaded: importing this module makes them known."""

from models import boosting, linear, stack
from models.sequence import model as sequence

__all__ = ["boosting", "linear", "sequence", "stack"]
