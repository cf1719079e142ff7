"""Batches: many rows of one task, accepted all or none, each done once, counted, resumed and explained."""
