"""The web page: its assets, and the views of runs that only a page needs.

`mount(app)` serves the page below `/ui/`; `routes.router` has the views. What
changes runs is the HTTP API's (`agentvm.server`). The sources of the page are in
`web/`, what is built of them in `assets/`, which is all that runs need.
"""

from .pages import mount

__all__ = ["mount"]
