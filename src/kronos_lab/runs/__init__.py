"""A run: its folder, summary, tracking and errors."""
