"""Random seeds: every random choice takes one, derived from (profile seed, asset, partition, purpose)."""

import hashlib


def derive_seed(*parts: object, bits: int = 31) -> int:
    """A seed in [0, 2^bits) from any printable parts; the same parts give the same seed on every machine."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - bits)
