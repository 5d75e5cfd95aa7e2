"""The bridge between the reactor thread and the worker threads."""
