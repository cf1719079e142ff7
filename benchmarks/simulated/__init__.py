"""The real scheduler (tracker, feeder, store) against simulated nodes: no Ray, a real Redis."""
