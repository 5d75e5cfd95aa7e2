"""dbproxy-conformance: replays recordings of the original db_proxy_server against any program, and lists every difference."""
