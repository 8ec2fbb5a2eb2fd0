"""`python -m ironlane` and the `ironlane` command."""

from ironlane.cli.main import main

if __name__ == "__main__":
    main()
