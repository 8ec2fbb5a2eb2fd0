"""Talking to the agent (ironic-python-agent) that runs in the ramdisk of a server being cleaned or deployed.

Knows the agent's HTTP API and nothing of rows, networks or states: the conductor says whom to ask for what.
"""
