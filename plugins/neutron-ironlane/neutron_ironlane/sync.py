"""Keeping Ironlane and Neutron in line: wishes one way, statuses the other, and everything after one was away.

A process of Neutron's has one thread for this. It waits for Ironlane to tell of changes; nothing is asked again and
again. What a request could not hand over is handed over here, and what a process forgot when it died is found by
comparing everything when the next one begins.
"""

import os
import threading

from neutron.db import provisioning_blocks
from neutron_lib import constants, exceptions
from neutron_lib import context as neutron_context
from neutron_lib.callbacks import resources
from neutron_lib.plugins import directory
from oslo_log import log as logging

from neutron_ironlane import NAME, wishes
from neutron_ironlane.client import Refused, Unreachable

LOG = logging.getLogger(__name__)

_WAIT = 20.0
"""How long a call for events waits, seconds. It ends at once when there is one."""

_WAIT_WHILE_DUE = 2.0
"""The same while something that Ironlane refused, which may be in the way of itself, is to be tried again."""

_PAUSES = (0.5, 1.0, 2.0, 5.0)
"""How long to wait after failures in a row, seconds."""


class Sync:
    """One per process; `start` may be called again at any time, also after a fork."""

    def __init__(self, client):
        self._client = client
        self._lock = threading.Lock()
        self._pid = None
        self._forget()

    def start(self):
        """Have the thread run in this process."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._forget()
        threading.Thread(target=self._run, name="ironlane-sync", daemon=True).start()

    def compare(self):
        """Compare everything at the next opportunity."""
        self._stream = None

    def hand_over(self, port_id, revision):
        """Tell Ironlane what is wished for a port now: at once if it answers, else later.

        `revision` is the port's, should it be gone.
        """
        self.start()
        if not self._reached:
            self._due[port_id] = revision
            return
        try:
            self._tell(port_id, revision)
        except Unreachable as error:
            LOG.warning("port %s is handed over later: %s", port_id, error)
            self._reached = False
            self._due[port_id] = revision

    def _forget(self):
        self._due = {}
        self._stream, self._change = None, 0
        self._reached = True

    def _run(self):
        failures = 0
        pause = threading.Event()
        while self._pid == os.getpid():
            try:
                self._round()
                failures = 0
            except Exception as error:  # the thread has to outlive whatever the database or Ironlane may do
                self._reached, self._stream = False, None
                if failures == 0:
                    LOG.warning("Ironlane and Neutron are not in line: %s", error, exc_info=not _foreseen(error))
                pause.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1

    def _round(self):
        if self._stream is None:
            self._compare()
        self._hand_over_due()
        wait = _WAIT_WHILE_DUE if self._due else _WAIT
        stream, change = self._stream, self._change
        told = self._client.events(stream or "", change, wait)
        if self._stream is None or told["stream"] != stream:
            self._stream = None  # another database, or somebody wants a comparison
            return
        for binding in told["bindings"]:
            self._take_status(binding)
        self._change = told["change"]

    def _compare(self):
        """Neutron's truth against Ironlane's record. That is read first: what is on it was in Neutron before."""
        told = self._client.list()
        known = {binding["id"]: binding for binding in told["bindings"]}
        self._reached, self._stream, self._change = True, told["stream"], told["change"]
        wished = wishes.current(neutron_context.get_admin_context())
        missing = [port for port, wish in wished.items() if port not in known or not wishes.same(known[port], wish)]
        surplus = [port for port in known if port not in wished]
        if missing or surplus:
            LOG.warning("Ironlane lacks the wishes of ports %s and still has those of %s", missing, surplus)
        for port in surplus:  # first: they are in the way of the others
            self._withdraw(port, known[port]["revision"])
        for port in missing:
            self._tell(port, 0)
        for port in wished.keys() & known.keys():
            self._take_status(known[port])

    def _hand_over_due(self):
        for port_id, revision in list(self._due.items()):
            self._due.pop(port_id, None)
            try:
                self._tell(port_id, revision)
            except Exception:
                self._due.setdefault(port_id, revision)
                raise

    def _tell(self, port_id, revision):
        context = neutron_context.get_admin_context()
        wish = wishes.current(context, [port_id]).get(port_id)
        if wish is None:
            self._withdraw(port_id, _revision(context, port_id, revision))
            return
        try:
            binding = self._client.put(port_id, wish)
        except Refused as refused:
            if refused.code == "StaleRevision":
                LOG.debug("port %s: %s", port_id, refused)
                return
            LOG.error("port %s cannot be bound: %s", port_id, refused)
            if refused.status == 409:
                self._due[port_id] = revision  # who is in the way may leave
            else:
                directory.get_plugin().update_port_status(context, port_id, constants.PORT_STATUS_ERROR)
            return
        self._take_status(binding)

    def _withdraw(self, port_id, revision):
        try:
            self._client.delete(port_id, revision)
        except Refused as refused:
            LOG.debug("port %s: %s", port_id, refused)

    def _take_status(self, binding):
        """What Ironlane read back becomes the port's status, if it is of what is wished for now."""
        context, port_id = neutron_context.get_admin_context(), binding["id"]
        wish = wishes.current(context, [port_id]).get(port_id)
        if wish is None or not wishes.same(binding, wish):
            return
        plugin = directory.get_plugin()
        try:
            status = plugin.get_port(context, port_id)["status"]
        except exceptions.PortNotFound:
            return
        active = binding["status"] == constants.PORT_STATUS_ACTIVE
        if active and status != constants.PORT_STATUS_ACTIVE:
            provisioning_blocks.provisioning_complete(context, port_id, resources.PORT, NAME)
        elif not active and status == constants.PORT_STATUS_ACTIVE:
            LOG.warning("port %s is not as it should be any more: %s", port_id, binding["reason"])
            provisioning_blocks.add_provisioning_component(context, port_id, resources.PORT, NAME)
            plugin.update_port_status(context, port_id, constants.PORT_STATUS_DOWN)


def _revision(context, port_id, otherwise):
    try:
        return directory.get_plugin().get_port(context, port_id)["revision_number"]
    except exceptions.PortNotFound:
        return otherwise


def _foreseen(error):
    return isinstance(error, Unreachable | Refused)
