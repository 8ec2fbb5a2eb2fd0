"""The only writer to hardware: membership, the ring, and the two loops.

Both loops look at rows, never at events, so a lost hint costs a delay and never an outcome. Nothing here answers a
client.
"""
