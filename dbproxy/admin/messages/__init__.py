"""Conversations: reading, searching, exporting, hiding, and moving old messages to files."""
