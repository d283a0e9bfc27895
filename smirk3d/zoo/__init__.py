"""What ships with the package: weights, calibrations and the open head, with licences, model cards and recipes."""
