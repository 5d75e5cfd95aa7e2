"""The commands of dbproxy-admin, a file for each topic."""
