"""What hospitals deliver: raw files found, told apart from those known, and parsed into typed rows."""
