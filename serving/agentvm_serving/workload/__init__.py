"""Workloads: what clients ask of an engine, and when.

An *item* is one request of a client: a call with an objective, or a program
whose stages follow one another. A workload is a list of items in one file; it
is replayed identically on a real engine and in virtual time.
"""

from .files import read, write
from .forecasts import FORECASTS, Forecast, Profile, hints_of, profile_of, site_of
from .items import Call, Item, faster, relaxed
from .lengths import Lengths
from .mixes import Mix
from .scales import LARGE, SMALL, Scale
from .small import mixed

__all__ = [
    "FORECASTS",
    "LARGE",
    "SMALL",
    "Call",
    "Forecast",
    "Item",
    "Lengths",
    "Mix",
    "Profile",
    "Scale",
    "faster",
    "hints_of",
    "mixed",
    "profile_of",
    "read",
    "relaxed",
    "site_of",
    "write",
]
