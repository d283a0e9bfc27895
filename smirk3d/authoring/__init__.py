"""Making heads: the open head from MakeHuman's data, its identity space and landmarks, and what FLAME files lack."""
