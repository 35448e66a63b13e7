"""Logs and Prometheus metrics: of the control plane itself, of its records, and of the GPUs.

Knows ports, what the loop reports of its passes, and where a GPU node's exporter listens. Refuses
to decide anything, to be a metrics database, and to log secrets: request bodies and tokens never
come here.
"""
