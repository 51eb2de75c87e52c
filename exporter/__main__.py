"""`python -m exporter` is the command `tokencost-exporter`."""

import sys

from exporter.cli import main

sys.exit(main())
