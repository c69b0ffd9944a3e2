"""AgentVM among the tools its users already have; each module needs the package it is named after."""
