"""From past bars to sampled futures."""
