"""From observed faces to heads: optimisation, regression, and their fusion."""
