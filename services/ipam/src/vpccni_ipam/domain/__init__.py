"""Decisions about addresses. Pure: standard library and the closed set of reasons only; time comes in as a value."""
