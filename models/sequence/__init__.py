"""Deep models of irregular event sequences in plain PyTorch: the state-space scan, the networks, their training."""
