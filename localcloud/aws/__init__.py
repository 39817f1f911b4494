"""The local AWS: the moto server with an MGN backend, told where to find its few machine images before it loads."""

import os
from pathlib import Path

os.environ.setdefault("MOTO_AMIS_PATH", str(Path(__file__).with_name("images.json")))
