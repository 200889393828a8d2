"""Small tools for every package: errors, files, numbers, the request to stop."""
