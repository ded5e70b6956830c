"""The report of a backtest: figures, and one self-contained page."""
