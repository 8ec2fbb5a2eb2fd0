"""ML2 mechanism driver: a thin client of Ironlane's fabric API. Nothing here talks to a switch."""

NAME = "ironlane"
"""The name of the mechanism driver in ML2's configuration, and of its provisioning blocks."""
