"""The same results by other means, each as a competent user of that library writes it.

They are kept apart from the product: a peer shares no code with it, and starts as a plain
script. What they need not do is what the product does beyond the figures: name bad rows with
file and line, tolerate odd CSVs, hold lines back whose parent is missing.
"""
