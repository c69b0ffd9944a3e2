"""Compiled programs as workloads: what agents ask for, with the hints that compiler and runtime send.

Agents are run by the real compiler and runtime in virtual time, against a model
that makes up answers of known lengths. What they asked, when, and what they
told with it becomes the items of a workload, which any engine serves.
"""

from .recording import Program, program_kind, program_named, record

__all__ = ["Program", "program_kind", "program_named", "record"]
