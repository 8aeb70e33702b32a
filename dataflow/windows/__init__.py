"""Event time: which column tells it, which window a row is in, and which rows came too late."""
