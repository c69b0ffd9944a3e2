"""`python -m agentvm`."""

from agentvm.cli import main

main()
