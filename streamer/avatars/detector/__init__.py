"""The free detector, for the page that checks videos."""
