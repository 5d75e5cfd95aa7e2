"""dbproxy-smoke: logs in to a whole TeamTalk installation as its users do, and tries what they do there, step by step."""
