"""What ships with the package: weights, calibrations and the open head, each with its licence, model card and recipe."""
