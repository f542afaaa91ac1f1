"""How fast the lake is, beside a script that does the same work by hand: `make bench`."""
