"""How good a forecast or a score is, and how sure we are."""
