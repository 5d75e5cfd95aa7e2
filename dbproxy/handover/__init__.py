"""The upgrade: a new process takes over the listening sockets, the live connections and the waiting requests of a running one."""
