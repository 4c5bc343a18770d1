"""What is known of a run: its outcome, its record, its timeline, its cost, its metrics."""
