"""Offline files."""

from __future__ import annotations

from collections.abc import Sequence

from dbproxy.handlers.text import echo_text
from dbproxy.models.file import FileModel
from dbproxy.wire import commands
from dbproxy.wire.pb import file_pb2
from dbproxy.work.handler_map import Handler


class FileHandlers:
    """Commands 0x0509, 0x050b and 0x050c."""

    def __init__(self, files: FileModel) -> None:
        self._files = files

    def handlers(self) -> list[Handler]:
        """The handlers of this file."""
        return [
            Handler(commands.OFFLINE_FILES, self.offline_files, retry_individually=True, unbatched=True),
            Handler(commands.ADD_OFFLINE_FILE, self.add_offline_file, copies_attach_data=False, unbatched=True),
            Handler(commands.DELETE_OFFLINE_FILE, self.delete_offline_file, copies_attach_data=False, unbatched=True),
        ]

    def offline_files(self, requests: Sequence[file_pb2.IMFileHasOfflineReq]) -> list[file_pb2.IMFileHasOfflineRsp]:
        """Tell which files wait for users."""
        replies = []
        for request in requests:
            reply = file_pb2.IMFileHasOfflineRsp(user_id=request.user_id)
            for offline in self._files.for_user(request.user_id):
                info = reply.offline_file_list.add()
                info.from_user_id = offline.from_id
                echo_text(info, "task_id", offline.task_id)
                echo_text(info, "file_name", offline.name)
                info.file_size = offline.size
            replies.append(reply)
        return replies

    def add_offline_file(self, requests: Sequence[file_pb2.IMFileAddOfflineReq]) -> list[None]:
        """Let files wait; not answered."""
        for request in requests:
            self._files.add(request.from_user_id, request.to_user_id, request.task_id, request.file_name, request.file_size)
        return [None] * len(requests)

    def delete_offline_file(self, requests: Sequence[file_pb2.IMFileDelOfflineReq]) -> list[None]:
        """Let files wait no longer; not answered."""
        for request in requests:
            self._files.delete(request.from_user_id, request.to_user_id, request.task_id)
        return [None] * len(requests)
