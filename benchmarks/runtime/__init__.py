"""The runtime's figures: `python -m benchmarks.runtime`.

A *case* is measured in one go and gives one or several *rows* of the table. Each
row stands beside its *floor*, the least that SQLite, PostgreSQL or asyncio alone
take for the same on the same disk in the same run, and beside what the *peers*
take where they are installed. A module a topic; each gives its `cases`.
"""
