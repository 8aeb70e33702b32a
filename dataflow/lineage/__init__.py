"""Where a row came from: row ids and the functions that they may ride through."""
