"""Messages of foreign protocols that are defined in Protocol Buffers: gNMI.

The `.proto` files say what of a protocol Ironlane speaks, in words of our own: names and numbers are the published
ones, so that the octets are. `scripts/generate-protobuf` makes the modules beside them; a test keeps both in step.
Driver and lab share these modules, as they share a TCP stack. That the numbers are right is shown by a client that we
did not write (tests/lab/test_gnmi_server.py).

Importing anything here loads protobuf; nothing does so before a switch speaks it.
"""
