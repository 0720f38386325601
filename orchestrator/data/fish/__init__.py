"""Drawn fish: a data set that costs no download."""
