"""Searches as a sweeper of Hydra."""
