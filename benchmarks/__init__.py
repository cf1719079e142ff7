"""Figures against other job systems: `make bench`."""
