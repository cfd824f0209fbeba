"""Compiled engines: built from a bundle's graphs, kept as a cache, checked before they are used."""
