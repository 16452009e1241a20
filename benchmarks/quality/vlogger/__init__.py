"""What papers on talking heads put into their tables, measured on our pictures."""
