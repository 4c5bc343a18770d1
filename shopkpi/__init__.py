"""The operator command: what the pipeline is doing, and what to do about it."""
