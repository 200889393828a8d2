"""The sweep file: its model, its rules, and how it is found, loaded and written."""
