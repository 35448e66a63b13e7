"""Logs and Prometheus metrics of the control plane itself.

Knows ports and what the loop reports of its passes. Refuses to decide anything, and to log
secrets: request bodies and tokens never come here.
"""
