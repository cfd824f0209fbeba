"""One file a command. Heavy imports (numpy, engines, torch) stand inside the functions."""
