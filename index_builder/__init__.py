"""Everything done ahead of query time: reading a workspace, building its index, measuring and training."""

import deepcodeseek.server  # noqa: F401  (numpy reads what it sets when it loads, whatever is imported first)
