"""What Bookwheel costs, measured on the real server: see README.md."""
