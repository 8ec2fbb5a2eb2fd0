"""Rows and rules within one transaction: the only SQL in the tree.

A transaction is a plain function of a `Tx`; `Store.write` and `Store.read` run it (see `database`). What must be true
of several rows together (a VLAN is taken once, an address belongs to its subnet) is kept here; what is true by logic
alone is in `ironlane.model`. Nothing here talks to a device or a network.
"""
