"""Bytes on sockets: HTTP/1.1 heads, framing, content codings, SSE, and the two protocol shells.

Nothing here knows a provider, JSON or a store.
"""
