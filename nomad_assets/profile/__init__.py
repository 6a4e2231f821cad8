"""The settings file: its sections, how it is loaded, its grid, and the profiles that ship."""
