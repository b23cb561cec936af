"""How each kind of problem is judged: `function`, `stdin`, `asserts`, `answer`."""
