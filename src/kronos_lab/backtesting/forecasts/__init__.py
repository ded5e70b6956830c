"""What the models say of every member of a universe, day after day, and where it is kept."""
