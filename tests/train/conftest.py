"""One thread a process: the tests' models are too small for more, and the results must not depend on the
machine."""

import torch

torch.set_num_threads(1)
