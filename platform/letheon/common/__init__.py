"""Small tools that every package may use: errors, files, numbers, threads."""
