"""Whole worlds, run deterministically: virtual loop, clock, seeds, fault proxies, checkers, trace.

A composition root: it knows every room below it and wires the product as ``app`` does, but on
virtual time and seeded entropy. Refuses to be imported by anything but ``app`` and tests, and to
change how the product behaves: it only chooses adapters and puts faults between them.
"""
