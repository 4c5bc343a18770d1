"""The REST API over the KPI tables and the records of runs."""
