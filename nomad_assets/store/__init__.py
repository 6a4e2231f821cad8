"""Where artifacts live: the protocol, the local implementation, manifests, retention.

Nothing outside this package knows a path, a lock or a rename of a store.
"""
