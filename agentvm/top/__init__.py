"""The live terminal view of `agentvm top`.

`sources` looks at a store or a server, `rows` is what was seen, `state` is what
the reader has chosen, `screen` draws both, `keys` reads the keyboard, and `app`
joins them.
"""
