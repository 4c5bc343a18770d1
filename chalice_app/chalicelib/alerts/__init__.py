"""Messages about runs and days: what is unusual, the text, the sending."""
