"""Motion and picture held against real speech."""
