"""Variants of lower precision: calibrated from the prior, held above a quality floor.

recipe.py says how, material.py draws what it takes, calibration.py and ranges.py find the ranges of
activations, int8.py writes the graph, quality.py measures it, floor.py gives layers back to higher
precision until it is good enough, variants.py puts the steps together.
"""
