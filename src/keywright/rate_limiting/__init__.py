"""
Rate limiters of the service: in one process, or shared by processes through Redis.

They keep the promises of `service.checking.ports.RateLimiter`.
"""
