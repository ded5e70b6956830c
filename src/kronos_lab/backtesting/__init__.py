"""Forecasts of a universe, signals, exchange, portfolio and report."""
