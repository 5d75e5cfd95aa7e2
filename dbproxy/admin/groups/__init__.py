"""Groups and their members, and telling clients of changes through http_msg_server."""
