"""The validator's checks by other means: each prints how many rows fail which check.

Every one reads the same CSVs as text, applies the checks of ``delivery/suites`` (those that
look at values), takes the rows that passed by its own library's account of them, and checks on
those how the tables go together. Not asked of them: files that are no good CSV, line numbers,
quarantine files, Parquet, Data Docs.
"""
