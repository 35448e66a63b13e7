"""The nouns: frozen dataclasses and enums, their text forms, and the product's limits.

Knows nothing but the pure standard library. Refuses to read a clock, draw randomness, or import
anything that touches the outside.
"""
