"""What the stages of a training run do: one task for each kind of stage, behind the interface of `task`."""
