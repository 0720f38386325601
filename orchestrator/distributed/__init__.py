"""What the processes that train one trial together share, over torch.distributed; knows no Ray."""
