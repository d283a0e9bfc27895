"""Training losses and the networks behind them."""
