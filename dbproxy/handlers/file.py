"""Offline files."""

from __future__ import annotations

from typing import Any

from dbproxy.handlers.text import echo_text
from dbproxy.models.file import FileModel
from dbproxy.wire import commands
from dbproxy.wire.pb import file_pb2
from dbproxy.work.handler_map import Handler


class FileHandlers:
    """Commands 0x0509, 0x050b and 0x050c."""

    def __init__(self, files: FileModel) -> None:
        self._files = files

    def handlers(self) -> list[Handler[Any]]:
        """The handlers of this file."""
        return [
            Handler.each(commands.OFFLINE_FILES, self.offline_files, retry_individually=True),
            Handler.each(commands.ADD_OFFLINE_FILE, self.add_offline_file, copies_attach_data=False),
            Handler.each(commands.DELETE_OFFLINE_FILE, self.delete_offline_file, copies_attach_data=False),
        ]

    def offline_files(self, request: file_pb2.IMFileHasOfflineReq) -> file_pb2.IMFileHasOfflineRsp:
        """Return the files that wait for a user."""
        reply = file_pb2.IMFileHasOfflineRsp(user_id=request.user_id)
        for offline in self._files.for_user(request.user_id):
            info = reply.offline_file_list.add()
            info.from_user_id = offline.from_id
            echo_text(info, "task_id", offline.task_id)
            echo_text(info, "file_name", offline.name)
            info.file_size = offline.size
        return reply

    def add_offline_file(self, request: file_pb2.IMFileAddOfflineReq) -> None:
        """Add a file for a user who is offline; not answered."""
        self._files.add(request.from_user_id, request.to_user_id, request.task_id, request.file_name, request.file_size)

    def delete_offline_file(self, request: file_pb2.IMFileDelOfflineReq) -> None:
        """Remove a file that has been taken; not answered."""
        self._files.delete(request.from_user_id, request.to_user_id, request.task_id)
