"""Training of small networks on one device: the loop, checkpoints, the best weights and the exported file."""
