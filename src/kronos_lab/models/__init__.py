"""The two networks, the tokenizer and the predictor, and their checkpoints on disk and on the Hub."""
