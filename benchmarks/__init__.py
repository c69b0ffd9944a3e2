"""What AgentVM takes, in time and space, beside what it stands on and beside its peers."""
