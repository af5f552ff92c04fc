"""`python -m valle`."""

import sys

from valle.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
