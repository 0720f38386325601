"""How sharp samples are."""
