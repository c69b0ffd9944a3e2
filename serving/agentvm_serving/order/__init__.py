"""Keeping requests in a policy's order: what the vLLM plug-in and the simulator share.

Requests are read by `request_id`, `num_output_tokens` and `num_computed_tokens` alone.
"""
