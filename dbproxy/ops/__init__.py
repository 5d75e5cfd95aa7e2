"""What operators see and steer while the proxy works; the service does not need any of it."""
