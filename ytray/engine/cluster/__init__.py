"""The cluster: its nodes, their slots, and where a job may run."""
