"""Lets pytest show the values in assertions of the store contract; it has to be told before these modules are imported."""

import sys

# pytest is not imported for it: where it is not there yet, nobody runs tests.
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite(
        "triologue.testing.leases", "triologue.testing.store_model", "triologue.testing.stores"
    )
