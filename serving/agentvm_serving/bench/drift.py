"""Drift: whether the machine was as fast in one run on a real engine as in the others.

Other work on the machine, and its clock, change what a policy can reach by more than
policies differ. So the machine is measured before and after each run, by what an
engine on a CPU mostly does (reading weights), and runs that do not compare are named.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Final

from .serving import Row

SIZE: Final = 4096
"""Rows and columns of the matrix that is read: 64 MB."""
PROBES: Final = 9
"""Measurements, of which the middle one counts, so that a moment's noise does not."""
TOLERANCE: Final = 0.1
"""Share by which the machine may be slower or faster than it mostly is."""


def speed() -> float:
    """How often a second one thread of this machine reads a matrix.

    One thread: where several wait for each other, a moment's work beside them looks like a slow machine.
    """
    import numpy

    matrix = numpy.ones((SIZE, SIZE), dtype=numpy.float32)
    seconds = []
    for _ in range(PROBES):
        began = time.perf_counter()
        for _ in range(4):
            numpy.add.reduce(matrix, axis=None)
        seconds.append((time.perf_counter() - began) / 4)
    return 1 / statistics.median(seconds)


def drifted(rows: Sequence[Row]) -> list[Row]:
    """Those of one machine before or after which it was not as fast as it mostly is."""
    speeds = [each for row in rows for each in row.speeds]
    if not speeds:
        return []
    mostly = statistics.median(speeds)
    return [row for row in rows if any(abs(each / mostly - 1) > TOLERANCE for each in row.speeds)]
