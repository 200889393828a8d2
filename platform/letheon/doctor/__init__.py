"""`letheon doctor`: what stands between this machine or cluster and a sweep, each finding with its fix.

`machine` looks at this machine, `probe` runs on every node, `nodes` judges what it found (pure), `collective` lets two
workers speak to each other, `checkup` does all of it in order."""
