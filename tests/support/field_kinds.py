"""Whether a protobuf field is repeated or required: a property since protobuf 6, a label before, and the newest has no labels."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor


def is_repeated(field: Any) -> bool:
    """Whether it is a list."""
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == FieldDescriptor.LABEL_REPEATED)


def is_required(field: Any) -> bool:
    """Whether a message without it does not parse."""
    return bool(field.is_required if hasattr(field, "is_required") else field.label == FieldDescriptor.LABEL_REQUIRED)
