"""A package by this file: torch-fidelity installs one of the same name, which would come before a folder without it."""
