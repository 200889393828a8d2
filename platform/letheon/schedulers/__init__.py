"""Which trials continue: pure decisions from reported metrics (`letheon.tune` connects them to Ray Tune)."""
