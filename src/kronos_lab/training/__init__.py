"""LightningModules, optimisation, checkpoints and export."""
