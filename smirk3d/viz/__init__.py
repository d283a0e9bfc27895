"""Visualisation: overlays, bar plots of weights, curves and contact sheets."""
