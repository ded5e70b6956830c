"""From sampled futures to the scores that are traded."""
