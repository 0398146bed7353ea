"""`python -m keywright` is `keywright`."""

from keywright.cli import main

if __name__ == "__main__":
    main()
