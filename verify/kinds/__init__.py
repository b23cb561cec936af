"""One judge for each kind of problem: `function`, `stdin`, `asserts`, `answer`."""
