"""A patient's risk explained: what moved it and when, in a table and drawn."""
