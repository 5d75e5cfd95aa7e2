"""dbproxy: TeamTalk's db_proxy_server in Python."""

__version__ = "1.5.0"
