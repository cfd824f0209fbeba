"""The command line `genx`: parse, call, print. What it calls lives in the other two packages."""
