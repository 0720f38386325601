"""A package, so that the Ray of its tests ends with them."""
