"""The evaluation: the studies behind docs/evaluation.md, and its tables from their results."""
