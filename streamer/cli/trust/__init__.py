"""Commands for consent, keys, tokens, the audit log and the origin of files."""
