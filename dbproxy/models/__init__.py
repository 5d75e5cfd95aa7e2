"""The rules, the SQL and the Redis keys; no protobuf and no sockets.

Any thread may call the models. Methods that ask a backend raise a StoreError when it fails.
"""
