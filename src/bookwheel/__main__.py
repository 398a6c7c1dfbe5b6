"""`python -m bookwheel` is the `bookwheel` command."""

from bookwheel.cli.main import main

if __name__ == "__main__":
    main()
