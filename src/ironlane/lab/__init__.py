"""A virtual data centre: switches that speak the real protocols and forward frames, BMCs, and servers that boot.

It ships with the product, because users try things on it before they touch a rack; the demo, the tests and the
benchmarks run on it. Nothing outside this package imports it, but for the command line. A behaving fake must be an
independent reading of the protocol: the lab never uses the code of the drivers it is there to test.
"""
