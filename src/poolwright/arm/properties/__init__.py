"""What the AKS resource types look like on the wire: one table per type, a row per property.

Reading and writing walk the same table; the api-version decides which rows exist. Knows
``model`` and the pure rules' words. Refuses to store or to decide.
"""
