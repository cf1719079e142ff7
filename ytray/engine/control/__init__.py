"""What runs a system: the dispatcher, its actors, schedules, alerts, clean-up, metrics."""
