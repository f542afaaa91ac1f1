"""What the lake writes of itself: runs, files, snapshots, accesses, and whom it has forgotten."""
