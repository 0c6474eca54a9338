"""Tests against the real providers. They cost money, so they run only when they are asked for.

    ANTHROPIC_API_KEY=… OPENAI_API_KEY=… GEMINI_API_KEY=… python -m pytest -m live

Without `-m live` they are not collected, whatever keys are set; with it, those whose key is missing are skipped. All of
them together send less than 100,000 input tokens to cheap models where each try succeeds, four times that where none
does, and ask for at most 400 output tokens at a time: well below a dollar. A prompt cache may take a moment to know
what was written, so what needs it is tried up to four times, each time as a new conversation. Only directions are
asserted: something was read from the cache, not how much.

Variables, besides the keys:

    LIVE_ANTHROPIC_MODEL, LIVE_OPENAI_MODEL, LIVE_GEMINI_MODEL    other models
    LIVE_ANTHROPIC_URL, LIVE_OPENAI_URL, LIVE_GEMINI_URL          other origins, http or https

Behind the proxy stands a relay on loopback that keeps what the proxy sends and passes it on to the provider over TLS:
so the tests see the very bytes that the provider answered to. It goes to the provider directly, not by HTTPS_PROXY.
`tests/test_live_offline.py` runs all of this against scripted origins, to show that the tests themselves work.
"""
