"""Out-of-band control of servers: IPMI, Redfish, and a driver that only remembers.

Knows no database and no retries. Imports only `ironlane.model`.
"""
