"""What files hold and how it fits a contract: formats, types, lines that cannot be read."""
