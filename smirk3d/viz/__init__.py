"""Pictures for people: overlays, bars of weights and contact sheets."""
