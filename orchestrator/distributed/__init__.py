"""Communication of the processes that train one trial together, over torch.distributed and without Ray."""
