"""Statistics of the study: pure functions on numpy arrays, each checked against an independent computation.

What holds for which numbers of patients and cases is in ``README.md`` beside this file.
"""
