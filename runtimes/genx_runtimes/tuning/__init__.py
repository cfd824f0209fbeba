"""The fastest way to run a bundle on this machine: searched, and remembered; see docs/tune.md.

request.py: what is asked; candidates.py: what there is to try; search.py: successive halving;
judge.py: when one way is faster than another; record.py: the outcome; store.py: the user's cache.
"""

from __future__ import annotations

from genx_runtimes.tuning.candidates import choose_sizes
from genx_runtimes.tuning.engines import list_engines
from genx_runtimes.tuning.record import Combination, Tuning
from genx_runtimes.tuning.request import Goal, Request, parse_budget, parse_goal, parse_memory
from genx_runtimes.tuning.screen import measure
from genx_runtimes.tuning.search import search
from genx_runtimes.tuning.store import recall, settle, tune, tune_each

__all__ = [
    "Combination",
    "Goal",
    "Request",
    "Tuning",
    "choose_sizes",
    "list_engines",
    "measure",
    "parse_budget",
    "parse_goal",
    "parse_memory",
    "recall",
    "search",
    "settle",
    "tune",
    "tune_each",
]
