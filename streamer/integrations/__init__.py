"""What other products speak: their messages, services and sockets, on top of our own parts."""
