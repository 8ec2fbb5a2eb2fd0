"""What unmodified clients say of a running service; `make compat` writes it into docs/compatibility.md.

openstacksdk brings its own functional tests (`openstack/tests/functional`, the same files as in its source
distribution). They are run as they are; what does not pass is told with the reason, which is written down here, one
module a service. A reason that is not needed any more, and a failure that nobody has explained, are faults.
"""
