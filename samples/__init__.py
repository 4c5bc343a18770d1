"""Believable deliveries of any size, clean or dirty, the same bytes for the same arguments."""
