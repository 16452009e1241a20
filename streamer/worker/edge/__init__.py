"""The edge process' end: one worker's client, its keeper, and a session's place."""
