"""`ironlane import`: what another Neutron and Ironic have, read through their APIs and taken over."""
