"""Training steps of analysis by neural synthesis, and the recipes of the packaged weights."""
