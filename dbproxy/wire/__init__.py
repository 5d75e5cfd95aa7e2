"""What travels on a connection, without any I/O."""
