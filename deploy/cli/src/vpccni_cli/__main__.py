"""``python -m vpccni_cli`` is ``vpccni``."""

import sys

from vpccni_cli.main import main

sys.exit(main())
