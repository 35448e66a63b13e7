"""The HTTP face of the embedded clusters: what arrives is read, dispatched and answered here."""
