"""Alpha158 and LightGBM, qlib's own benchmark, as a rival for the scores."""
