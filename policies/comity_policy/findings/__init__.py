"""What violated rules found, told to people of the deciding party."""
