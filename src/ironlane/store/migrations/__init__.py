"""Schema versions, oldest first in `versions`. `ironlane.store.schema` runs them."""
