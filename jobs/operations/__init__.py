"""Operating a lake: its runs, what differs between them, back to one, checks, upkeep."""
