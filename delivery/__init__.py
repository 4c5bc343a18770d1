"""A delivery: the CSV files of orders, order items and products, and how they are read."""
