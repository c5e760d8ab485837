"""The CNI plugin: parses what the runtime passes, calls ipam once, prints the answer.

It starts for every pod, so start-up time is part of its contract: it imports nothing but the interpreter's built-in
``posix``, ``_socket``, ``time`` and ``sys`` (docs/plugin.md says why, and tests/unit/plugin/test_plugin_imports.py holds
it). The same source runs under any Python >= 3.11 (``python -m vpccni_plugin``) and inside the static binary.
"""
