"""Serving in virtual time: workloads on a modelled engine, faster than they would take."""
