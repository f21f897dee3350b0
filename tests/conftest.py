"""What all tests share: none of them, and no process they start, reads the `.env` of whoever runs them."""

import os

os.environ["PANDA_ENV_FILE"] = os.devnull
