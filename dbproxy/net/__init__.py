"""Sockets and the event loop; everything here belongs to the reactor thread."""
