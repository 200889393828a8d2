"""The Python interface: what `import letheon` offers, and what the command and notebooks share."""
