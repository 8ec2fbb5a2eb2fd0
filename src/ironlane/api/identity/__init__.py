"""Who makes a request: one strategy of three, chosen by the setting `auth_strategy`.

`none` (everybody is an admin, so the service listens on loopback only), `http_basic` (a password file) and `keystone`
(tokens). `api.http` asks the strategy once per request, and hands the caller on to the three APIs. What a caller may do
is not decided here, but by `ironlane.model.policy`.
"""
