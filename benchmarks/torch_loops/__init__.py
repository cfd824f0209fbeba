"""The samples' models in PyTorch eager, sampled as one would without genx."""
