"""Starting workers, what crosses the boundary to them, and telling how they ended."""
