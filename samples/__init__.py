"""Realistic deliveries of any size, clean or dirty; the same arguments give the same bytes."""
