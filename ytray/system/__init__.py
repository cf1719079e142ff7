"""What ytray stands on: a Redis that keeps the truth and a Ray cluster that does the work. Joined, or started here."""
