"""How good generated images are: distances to the data, classes covered, and the classifier that sees them."""
