"""Benchmarks of serving: policies against each other on the same workloads."""
