"""AgentVM."""
