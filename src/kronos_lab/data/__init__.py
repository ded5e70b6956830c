"""K-lines: what a bar is, where bars come from, and windows over them."""
