"""`ironlane site apply`: makes a running service know what a site file says, through its HTTP APIs.

Nothing is ever deleted. Each thing of the file has one `Outcome`, and so has each thing of the service that the file
does not mention. Passwords go into `driver_info` and nowhere else.
"""
