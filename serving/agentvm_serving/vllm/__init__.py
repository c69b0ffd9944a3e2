"""The vLLM plug-in: a scheduler class, and a server that loads it. vLLM itself is never patched.

Importing this package imports no vLLM.
"""

SCHEDULER_CLS = "agentvm_serving.vllm.scheduler.create"
"""What to give vLLM as `--scheduler-cls`."""

CONTROL = "agentvm_serving.vllm.control.Control"
"""What to give vLLM as `--middleware`, so that requests can be changed while they wait or run."""

OBJECTIVES = "agentvm_serving.vllm.asking.Objectives"
"""The same, so that clients may ask for deadlines by headers."""

SERVER_MODULE = "agentvm_serving.vllm.server"
"""Run as `python -m` to serve a model."""

POLICY_VARIABLE = "AGENTVM_SCHEDULER_POLICY"
"""Environment variable that names the policy of the engine."""

HOPELESS_VARIABLE = "AGENTVM_ON_HOPELESS"
"""Environment variable that says what becomes of a request that cannot meet its objective:
`degrade` (it is served best effort, the default) or `reject`."""

SWITCH_VARIABLE = "AGENTVM_POLICY_MAY_CHANGE"
"""Environment variable: `1` lets clients change the policy of an engine that has nothing to do."""

PACE_VARIABLE = "AGENTVM_KEEP_PACE"
"""Environment variable: `1` cuts prompts so that no step takes longer than the tightest TBT promised."""

LENGTHS_VARIABLE = "AGENTVM_LENGTHS"
"""Environment variable that names the estimator of output lengths: `quantile` (the default) or `forest`."""

LOG_VARIABLE = "AGENTVM_SCHEDULER_LOG"
"""Environment variable that names the file the scheduler writes its events to, as JSON lines."""
