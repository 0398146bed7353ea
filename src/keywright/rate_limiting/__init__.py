"""
Counting what is spent of the limits of keys: alone, or together with other processes through Redis.

The promises are `service.limits.Limiter`'s.
"""
