"""Training by analysis by neural synthesis: configuration, loop, losses, optimisation, checkpoints, recipes."""
