"""What users write and ask: tasks, flows, jobs, the tracker and the dead-letter queue."""
