"""What is examined of MySQL."""

from dbproxy.doctor.mysql.databases import check_databases

__all__ = ["check_databases"]
