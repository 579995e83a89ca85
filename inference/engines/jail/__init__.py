"""The jail: processes in which a model's code is loaded and computed, cut off from files, network and other processes."""
