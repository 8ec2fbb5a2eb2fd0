"""How fast whole fleets move between networks: Ironlane, a bare script, and Neutron with networking-generic-switch, on
the same virtual switches in the same run. See README.md beside this file.
"""
