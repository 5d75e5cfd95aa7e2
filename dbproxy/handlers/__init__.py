"""The 26 commands: protobuf in, model calls, protobuf out."""
