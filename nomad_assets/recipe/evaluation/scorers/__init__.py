"""The built-in scorers, one module each: what is in this folder is a scorer, and there is no other list."""
