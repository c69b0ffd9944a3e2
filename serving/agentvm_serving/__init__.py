"""Serving: what happens to a model call once the runtime has made it.

`slo` says when a call is due, `policy` in which order calls are served, `vllm`
is the plug-in that makes a stock engine follow that order, and `backends` are
the ways to reach an engine. Importing this package imports none of them.
"""
