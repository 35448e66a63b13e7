"""The composition root: wires the rooms into a server, starts and stops it; the command line.

Knows every room. Refuses to contain logic: what is decided is in ``plan``, what is done is in
the rooms; here are only choices of adapters, the real clock, real entropy, files and processes.
"""
