"""The rules, the SQL and the Redis keys; no protobuf and no sockets."""
