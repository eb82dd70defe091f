"""The mmdet metric (follows)."""
