"""The sections of the report, a file each: ``ORDER`` is its place, and ``build`` makes it of a study or tells None.

Sections are found by their presence in this package; there is no list to keep.
"""
