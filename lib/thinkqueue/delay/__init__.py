"""What an allocation costs in time, one kind of server a file."""
