"""The front end: from the source of an `async def` to IR.

`source` finds the syntax tree, `tree` answers what is in any part of it, `scope`
what its names mean, `infer` the types it can, `alias` what may be mutated under
which names, `lower` writes the nodes.
"""
