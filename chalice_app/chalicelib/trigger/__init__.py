"""From files that land to a finished run: start a batch, claim its files, move them."""
