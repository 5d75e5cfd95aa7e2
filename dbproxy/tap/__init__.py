"""dbproxy-tap: stands between two TeamTalk servers, forwards their bytes untouched and shows the PDUs."""
