"""The flow collection: the main job, and flows by domain."""
