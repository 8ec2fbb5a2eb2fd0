"""Switch drivers: they translate and talk.

A driver knows no tenants, no database and no retries. Vendor facts are data beside the driver. Imports only
`ironlane.model`.
"""
