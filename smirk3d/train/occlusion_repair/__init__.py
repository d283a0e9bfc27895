"""Training of the network that finds and repairs occluded patches of face windows."""
