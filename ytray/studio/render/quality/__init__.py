"""The quality gate: a finished file is measured, judged against its timeline, and reported on."""
