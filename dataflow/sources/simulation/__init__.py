"""Messages that are made, not read: what is drawn, how it arrives, and a pub/sub that delivers it."""
