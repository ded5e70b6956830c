"""Many finished backtests beside each other: one table, and whether the best of them can be told from another."""
