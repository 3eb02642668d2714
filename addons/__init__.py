"""The business areas; each folder with an addon.toml is one addon, loaded by name, never imported by core."""
