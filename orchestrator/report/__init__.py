"""Tables, figures and the page; reads results only."""
