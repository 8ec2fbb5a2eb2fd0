"""What is done in each phase of a node's life: a module a phase, used by the state table in `handlers` only."""
