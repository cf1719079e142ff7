"""What happens inside a Ray task, and in the flow runner: attempts, limits, verdicts."""
