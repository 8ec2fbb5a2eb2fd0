"""The randomised fault test: switches, clients and the service go wrong in every order, and the invariants stand."""
