"""What one conductor costs while its servers do nothing but being asked and reporting: power sync and heartbeats."""
