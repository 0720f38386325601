"""Intervals, effect sizes, corrections and power for the values of few seeds. Pure functions of numbers."""
