"""Validate a delivery: Great Expectations suites over DuckDB tables, and a verdict."""
