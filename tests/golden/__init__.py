"""Golden outputs: what the product drew and moved before, to compare with after a change.

``python -m tests.golden.check`` says in words what differs, ``python -m tests.golden.make`` writes
the goldens anew, both from the root of the checkout.
"""
