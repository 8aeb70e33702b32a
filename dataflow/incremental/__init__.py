"""What is new since the last run: files against a ledger, code against its fingerprint."""
