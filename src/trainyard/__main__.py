"""`python -m trainyard` is `trainyard`."""

import sys

from trainyard.cli.main import main

sys.exit(main())
