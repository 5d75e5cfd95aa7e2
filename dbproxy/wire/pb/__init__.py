"""Generated protobuf modules; see scripts/generate_protos."""
