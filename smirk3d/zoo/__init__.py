"""What ships with the package: weights, calibrations, the open head, and where each comes from."""
