"""What an organizer sees of a page's orders, and does about them."""
