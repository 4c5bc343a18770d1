"""What the stages agree on, and nothing else. Standard library only: Lambda ships it, too."""
