"""The records that cross the process boundary between the parent and its worker."""
