"""Realistic agents, one a file: the material of the differential tests.

Each module has `CASES` (an agent, its arguments, its keyword arguments), a
deterministic `script(call)` that plays the model, and `LOG`, to which its write
tools append. The same program runs as plain asyncio and compiled.
"""
