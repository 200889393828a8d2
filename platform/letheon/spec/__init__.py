"""The sweep file: its schema, its rules, and how it is found, loaded and written."""
