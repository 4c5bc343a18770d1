"""How the two containers' jobs compare with the same work done by other means."""
