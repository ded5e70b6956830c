"""Trading scores: strategies, exchange, costs and the ledger."""
