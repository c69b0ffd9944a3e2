"""Module-level settings that the hostile programs read and change."""

X = 0
L: list[int] = []
