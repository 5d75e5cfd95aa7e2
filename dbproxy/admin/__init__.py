"""dbproxy-admin: manages the users, departments, groups and messages of an installation while proxies are running.

The rules and statements are those of ``dbproxy.models``; what is here finds, checks, records and shows. ``Administration`` is what the
command line and the web application share.
"""
