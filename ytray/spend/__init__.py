"""Money: what a paid call may cost, that it is made once, and what it has cost. Knows nothing of videos."""
