"""Retraining again and again: which folds there are, and what is run for each."""
