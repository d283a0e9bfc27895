"""Training by analysis by neural synthesis: data, perturbations, losses, configuration, checkpoints."""
