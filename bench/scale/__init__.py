"""One process and many switches: what they cost while nothing happens, and how long it takes to look at them all."""
